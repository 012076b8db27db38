/* ---
table: orders
override: merge
description: Deals that were won stand for orders. If you keep Orders, put a query over Order.csv here instead.
--- */
SELECT
  opportunity_id AS order_id,
  account_id,
  opportunity_id,
  campaign_id,
  close_date AS order_date,
  type AS order_type,
  'completed' AS status,
  channel,
  owner_id,
  updated_at
FROM opportunities
WHERE is_won
