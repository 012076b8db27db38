/* ---
table: orders
override: merge
description: Deals that were won. The first one of an account is taken for new business; earlier ones are not in the data.
--- */
SELECT
  opportunity_id AS order_id,
  account_id,
  opportunity_id,
  close_date AS order_date,
  CASE WHEN row_number() OVER (PARTITION BY account_id ORDER BY close_date, opportunity_id) = 1 THEN 'new_business'
       ELSE 'expansion' END AS order_type,
  'completed' AS status,
  owner_id,
  updated_at
FROM opportunities
WHERE is_won
