-- Purchases of the quarter over the accounts that purchased in it.
SELECT
  date_trunc('quarter', order_date) AS period_start,
  CAST(count(*) AS DOUBLE) / nullif(count(DISTINCT account_id), 0) AS value
FROM orders
WHERE status = 'completed' AND coalesce(order_type, '') <> 'credit' AND NOT is_deleted
GROUP BY 1
