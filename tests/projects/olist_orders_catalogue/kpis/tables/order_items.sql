/* ---
table: order_items
override: merge
description: What was bought, without freight.
--- */
SELECT
  concat(order_id, '-', CAST(order_item_id AS TEXT)) AS order_item_id,
  order_id,
  product_id,
  1 AS quantity,
  price AS net_amount,
  (SELECT max(order_purchase_timestamp) FROM order_file) AS updated_at
FROM item_file
