-- Profit of the month over its revenue; lines without cost stay in the revenue.
WITH lines AS (
  SELECT orders.order_date, order_items.net_amount, order_items.cost_amount
  FROM order_items JOIN orders ON orders.order_id = order_items.order_id
  WHERE NOT order_items.is_deleted AND NOT orders.is_deleted AND orders.status = 'completed'
)
SELECT
  date_trunc('month', order_date) AS period_start,
  CAST(sum(CASE WHEN cost_amount IS NULL THEN 0 ELSE net_amount - cost_amount END) AS DOUBLE)
    / nullif(CAST(sum(net_amount) AS DOUBLE), 0) AS value
FROM lines
GROUP BY 1
