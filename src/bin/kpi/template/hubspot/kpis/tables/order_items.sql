/* ---
table: order_items
override: merge
columns:
  quantity: {type: double}
description: The line items of deals that were won; a deal without any has one line with its amount.
--- */
SELECT
  coalesce(items.line_item_id, deals.opportunity_id) AS order_item_id,
  deals.opportunity_id AS order_id,
  items.product_id,
  coalesce(items.quantity, 1) AS quantity,
  CASE WHEN items.line_item_id IS NULL THEN coalesce(deals.amount, 0) ELSE coalesce(items.net_amount, 0) END AS net_amount,
  items.cost_amount,
  coalesce(items.is_recurring, false) AS is_recurring,
  deals.updated_at
FROM opportunities AS deals
LEFT JOIN sold_items AS items ON items.deal_id = deals.opportunity_id
WHERE deals.is_won
