/* ---
table: orders
override: merge
description: Orders by the person. Those that were canceled or could not be delivered are no purchases.
--- */
SELECT
  orders.order_id,
  customers.customer_unique_id AS account_id,
  local_date(orders.order_purchase_timestamp) AS order_date,
  CASE WHEN row_number() OVER (
    PARTITION BY customers.customer_unique_id ORDER BY orders.order_purchase_timestamp, orders.order_id
  ) = 1 THEN 'new_business' ELSE 'expansion' END AS order_type,
  CASE WHEN orders.order_status IN ('canceled', 'unavailable') THEN 'cancelled' ELSE 'completed' END AS status,
  'BRL' AS currency,
  (SELECT max(order_purchase_timestamp) FROM order_file) AS updated_at
FROM order_file AS orders
JOIN customer_file AS customers ON customers.customer_id = orders.customer_id
