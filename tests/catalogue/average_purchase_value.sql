-- Revenue of the month less credits, over the purchases, which credit notes are none of.
WITH revenue AS (
  SELECT date_trunc('month', order_date) AS period_start, sum(net_amount) AS revenue
  FROM orders JOIN order_items USING (order_id)
  WHERE status = 'completed' AND NOT orders.is_deleted AND NOT order_items.is_deleted
  GROUP BY 1
),
purchases AS (
  SELECT date_trunc('month', order_date) AS period_start, count(*) AS purchases
  FROM orders
  WHERE status = 'completed' AND coalesce(order_type, '') <> 'credit' AND NOT is_deleted
  GROUP BY 1
)
SELECT period_start, CAST(revenue AS DOUBLE) / purchases AS value
FROM revenue JOIN purchases USING (period_start)
