/* ---
table: quota_results
description: Each quota, and what its representative won in the time of the quota.
primary_key: quota_id
time: period_start
freshness: {column: known_until}
--- */
WITH known AS (
  SELECT max(updated_at) AS known_until FROM opportunities
)
SELECT
  quotas.quota_id,
  quotas.user_id,
  quotas.period_start,
  quotas.period_end,
  quotas.quota_amount,
  coalesce(sum(won.amount), 0) AS won_amount,
  users.team,
  users.region,
  known.known_until
FROM quotas
CROSS JOIN known
LEFT JOIN users ON users.user_id = quotas.user_id
LEFT JOIN opportunities AS won
  ON won.owner_id = quotas.user_id
  AND won.is_won
  AND won.close_date >= quotas.period_start
  AND won.close_date < quotas.period_end
GROUP BY quotas.quota_id, quotas.user_id, quotas.period_start, quotas.period_end, quotas.quota_amount, users.team,
  users.region, known.known_until
