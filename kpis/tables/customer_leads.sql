/* ---
table: customer_leads
description: >-
  Accounts that became customers and had a lead before, with the first one. Leads that came in after the account had become
  a customer are no part of it.
primary_key: account_id
time: first_day
joins:
  lead: {table: leads, on: lead_id}
dimensions:
  lead_source: lead.lead_source
  product: lead.product
  region: lead.region
freshness: {column: updated_at}
--- */
WITH numbered AS (
  SELECT
    customers.account_id,
    customers.first_day,
    customers.updated_at,
    leads.lead_id,
    leads.created_at,
    row_number() OVER (PARTITION BY customers.account_id ORDER BY leads.created_at, leads.lead_id) AS number
  FROM customers
  JOIN leads
    ON leads.converted_account_id = customers.account_id
    AND local_date(leads.created_at) <= customers.first_day
)
SELECT account_id, lead_id, created_at, first_day, updated_at
FROM numbered
WHERE number = 1
