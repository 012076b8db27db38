-- Profit of the accounts by quarter, over all accounts; lines without cost are left out.
WITH quarters AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '3 months' AS next_start
  FROM generate_series(DATE '2023-01-01', DATE '2025-10-01', INTERVAL '3 months')
),
lines AS (
  SELECT orders.order_date, order_items.net_amount, order_items.cost_amount
  FROM order_items JOIN orders ON orders.order_id = order_items.order_id
  WHERE NOT order_items.is_deleted AND NOT orders.is_deleted AND orders.status = 'completed'
)
SELECT quarters.period_start, coalesce(sum(net_amount - cost_amount), 0) AS value
FROM quarters LEFT JOIN lines ON date_trunc('quarter', lines.order_date) = quarters.period_start
GROUP BY quarters.period_start
