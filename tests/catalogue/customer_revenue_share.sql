-- The part of the quarter's revenue that its ten largest accounts brought. Orders of nobody are in the whole only.
WITH lines AS (
  SELECT orders.account_id, orders.order_date, order_items.net_amount
  FROM order_items JOIN orders ON orders.order_id = order_items.order_id
  WHERE NOT order_items.is_deleted AND NOT orders.is_deleted AND orders.status = 'completed'
),
by_account AS (
  SELECT date_trunc('quarter', order_date) AS period_start, account_id, sum(net_amount) AS revenue
  FROM lines
  GROUP BY 1, 2
),
ranked AS (
  SELECT *, row_number() OVER (PARTITION BY period_start, account_id IS NULL ORDER BY revenue DESC) AS place
  FROM by_account
)
SELECT
  period_start,
  CAST(sum(revenue) FILTER (WHERE place <= 10 AND account_id IS NOT NULL) AS DOUBLE)
    / nullif(CAST(sum(revenue) AS DOUBLE), 0) AS value
FROM ranked
GROUP BY period_start
