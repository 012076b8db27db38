/* ---
table: order_items
override: merge
columns:
  quantity: {type: double}
description: >-
  The products of deals that were won; a deal without products has one line with its amount. Salesforce knows no costs: add
  cost_amount here if you have them.
--- */
SELECT
  coalesce(items.line_item_id, deals.opportunity_id) AS order_item_id,
  deals.opportunity_id AS order_id,
  items.product_id,
  coalesce(items.quantity, 1) AS quantity,
  CASE WHEN items.line_item_id IS NULL THEN coalesce(deals.amount, 0) ELSE coalesce(items.net_amount, 0) END AS net_amount,
  coalesce(products.is_recurring, false) AS is_recurring,
  deals.updated_at
FROM opportunities AS deals
LEFT JOIN line_item_export AS items ON items.opportunity_id = deals.opportunity_id
LEFT JOIN products ON products.product_id = items.product_id
WHERE deals.is_won
