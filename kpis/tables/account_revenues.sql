/* ---
table: account_revenues
description: >-
  What each account ordered on each day, with its name and segment. Orders of accounts that nobody knows have no account.
time: order_date
freshness: {column: known_until}
--- */
WITH known AS (
  SELECT max(updated_at) AS known_until FROM orders
)
SELECT
  orders.account_id,
  orders.account_id || coalesce(' ' || accounts.name, '') AS account,
  accounts.segment,
  orders.order_date,
  CAST(sum(order_items.net_amount) AS DOUBLE) AS revenue,
  known.known_until
FROM order_items
JOIN orders ON orders.order_id = order_items.order_id
LEFT JOIN accounts ON accounts.account_id = orders.account_id
CROSS JOIN known
WHERE orders.status = 'completed'
GROUP BY ALL
