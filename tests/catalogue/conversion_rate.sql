-- Of the leads that came in the month, those whose account placed its first order ever 0 to 90 days later.
WITH real_leads AS (
  SELECT *, CAST(created_at AT TIME ZONE 'America/New_York' AS DATE) AS created_on
  FROM leads
  WHERE NOT is_deleted AND NOT is_duplicate
),
purchases AS (
  SELECT * FROM orders WHERE NOT is_deleted AND status = 'completed' AND coalesce(order_type, '') <> 'credit'
),
first_orders AS (
  SELECT account_id, min(order_date) AS ordered_on FROM purchases GROUP BY account_id
)
SELECT
  date_trunc('month', created_on) AS period_start,
  CAST(count(*) FILTER (WHERE ordered_on - created_on BETWEEN 0 AND 90) AS DOUBLE) / count(*) AS value
FROM real_leads LEFT JOIN first_orders ON first_orders.account_id = real_leads.converted_account_id
GROUP BY 1
