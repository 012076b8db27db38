/* ---
table: subscriptions
override: merge
description: A seller has a contract from the win on. Nobody wrote down when one left.
--- */
SELECT
  mql_id AS subscription_id,
  seller_id AS account_id,
  local_date(won_date) AS start_date,
  CAST(NULL AS DATE) AS end_date,
  CAST(NULL AS TEXT) AS cancel_reason,
  (SELECT max(won_date) FROM deal_file) AS updated_at
FROM deal_file
