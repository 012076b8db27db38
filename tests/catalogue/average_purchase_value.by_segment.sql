-- Purchase value by segment; revenue of a segment without purchases has no value.
WITH real_accounts AS (
  SELECT account_id, segment FROM accounts WHERE NOT is_deleted AND name NOT LIKE 'TEST %'
),
revenue AS (
  SELECT date_trunc('month', order_date) AS period_start, segment, sum(net_amount) AS revenue
  FROM orders
  JOIN order_items ON order_items.order_id = orders.order_id AND NOT order_items.is_deleted
  LEFT JOIN real_accounts ON real_accounts.account_id = orders.account_id
  WHERE status = 'completed' AND NOT orders.is_deleted
  GROUP BY 1, 2
),
purchases AS (
  SELECT date_trunc('month', order_date) AS period_start, segment, count(*) AS purchases
  FROM orders LEFT JOIN real_accounts ON real_accounts.account_id = orders.account_id
  WHERE status = 'completed' AND coalesce(order_type, '') <> 'credit' AND NOT orders.is_deleted
  GROUP BY 1, 2
)
SELECT purchases.period_start, purchases.segment, CAST(coalesce(revenue, 0) AS DOUBLE) / purchases AS value
FROM purchases
LEFT JOIN revenue
  ON revenue.period_start = purchases.period_start AND revenue.segment IS NOT DISTINCT FROM purchases.segment
