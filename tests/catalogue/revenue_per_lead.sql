-- What accounts brought up to the 180th day behind their earliest lead of the month, over all leads of the month.
WITH real_leads AS (
  SELECT *, CAST(created_at AT TIME ZONE 'America/New_York' AS DATE) AS created_on
  FROM leads
  WHERE NOT is_deleted AND NOT is_duplicate
),
lines AS (
  SELECT orders.account_id, orders.order_date, order_items.net_amount
  FROM order_items JOIN orders ON orders.order_id = order_items.order_id
  WHERE NOT order_items.is_deleted AND NOT orders.is_deleted AND orders.status = 'completed'
),
earliest AS (
  SELECT
    date_trunc('month', created_on) AS period_start,
    converted_account_id AS account_id,
    min(created_on) AS created_on
  FROM real_leads
  WHERE converted_account_id IS NOT NULL
  GROUP BY 1, 2
),
revenue AS (
  SELECT earliest.period_start, sum(lines.net_amount) AS revenue
  FROM earliest JOIN lines
    ON lines.account_id = earliest.account_id
    AND lines.order_date >= earliest.created_on
    AND lines.order_date <= earliest.created_on + INTERVAL '180 days'
  GROUP BY earliest.period_start
)
SELECT
  date_trunc('month', created_on) AS period_start,
  CAST(coalesce(max(revenue), 0) AS DOUBLE) / count(*) AS value
FROM real_leads LEFT JOIN revenue ON revenue.period_start = date_trunc('month', real_leads.created_on)
GROUP BY 1
