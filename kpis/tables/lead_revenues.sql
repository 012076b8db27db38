/* ---
table: lead_revenues
description: What the account of each lead ordered within `lead_revenue_days` of the day on which the lead came in.
primary_key: lead_id
time: created_at
freshness: {column: known_until}
--- */
WITH known AS (
  SELECT least((SELECT max(updated_at) FROM leads), (SELECT max(updated_at) FROM orders)) AS known_until
),
revenues AS (
  SELECT leads.lead_id, CAST(sum(order_items.net_amount) AS DOUBLE) AS revenue
  FROM leads
  JOIN orders
    ON orders.account_id = leads.converted_account_id
    AND orders.status = 'completed'
    AND days_between(leads.created_at, orders.order_date) BETWEEN 0 AND {{ lead_revenue_days }}
  JOIN order_items ON order_items.order_id = orders.order_id
  GROUP BY leads.lead_id
)
SELECT
  leads.lead_id,
  leads.created_at,
  leads.converted_account_id AS account_id,
  leads.lead_source,
  campaigns.name AS campaign,
  coalesce(products.name, '(none)') AS product,
  revenues.revenue,
  known.known_until
FROM leads
CROSS JOIN known
LEFT JOIN revenues ON revenues.lead_id = leads.lead_id
LEFT JOIN campaigns ON campaigns.campaign_id = leads.campaign_id
LEFT JOIN products ON products.product_id = leads.product_id
