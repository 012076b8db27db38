/* ---
table: lead_steps
description: >-
  One row for each step that a lead entered, and the day on which it entered the next one. A lead that skipped a step
  entered it with the next one that it took.
primary_key: step_id
time: entered_on
joins:
  lead: {table: leads, on: lead_id}
dimensions:
  lead_source: lead.lead_source
  campaign: lead.campaign
  campaign_channel: lead.campaign_channel
  product: lead.product
  region: lead.region
freshness: {column: updated_at}
--- */
WITH days AS (
  SELECT
    lead_id,
    local_date(created_at) AS created_on,
    coalesce(local_date(mql_at), local_date(sal_at), local_date(sql_at), local_date(converted_at)) AS marketing_qualified_on,
    coalesce(local_date(sal_at), local_date(sql_at), local_date(converted_at)) AS accepted_on,
    coalesce(local_date(sql_at), local_date(converted_at)) AS qualified_on,
    local_date(converted_at) AS converted_on,
    updated_at
  FROM leads
),
steps AS (
  SELECT lead_id, '1 created' AS step, created_on AS entered_on, marketing_qualified_on AS next_on, updated_at FROM days
  UNION ALL
  SELECT lead_id, '2 qualified by marketing', marketing_qualified_on, accepted_on, updated_at FROM days
  UNION ALL
  SELECT lead_id, '3 accepted by sales', accepted_on, qualified_on, updated_at FROM days
  UNION ALL
  SELECT lead_id, '4 qualified by sales', qualified_on, converted_on, updated_at FROM days
)
SELECT lead_id || ' ' || step AS step_id, lead_id, step, entered_on, next_on, updated_at
FROM steps
WHERE entered_on IS NOT NULL
