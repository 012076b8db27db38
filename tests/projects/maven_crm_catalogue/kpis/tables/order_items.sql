/* ---
table: order_items
override: merge
--- */
SELECT opportunity_id AS order_item_id, opportunity_id AS order_id, product_id, 1 AS quantity, amount AS net_amount, updated_at
FROM opportunities
WHERE is_won
