-- Revenue of the month from completed orders, less credits.
WITH months AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '1 month' AS next_start
  FROM generate_series(DATE '2023-01-01', DATE '2025-12-01', INTERVAL '1 month')
),
lines AS (
  SELECT orders.order_date, order_items.net_amount
  FROM order_items JOIN orders ON orders.order_id = order_items.order_id
  WHERE NOT order_items.is_deleted AND NOT orders.is_deleted AND orders.status = 'completed'
)
SELECT months.period_start, coalesce(sum(lines.net_amount), 0) AS value
FROM months LEFT JOIN lines ON date_trunc('month', lines.order_date) = months.period_start
GROUP BY months.period_start
