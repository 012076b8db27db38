-- Of those with a quota above 0 for exactly this month, those who won it, with those who won nothing. Who had left
-- before is left out.
WITH won AS (
  SELECT owner_id, date_trunc('month', close_date) AS period_start, sum(amount) AS amount
  FROM opportunities
  WHERE is_closed AND is_won AND NOT is_deleted
  GROUP BY 1, 2
),
monthly_quotas AS (
  SELECT * FROM quotas
  WHERE NOT is_deleted
    AND period_start = date_trunc('month', period_start)
    AND period_end = period_start + INTERVAL '1 month'
)
SELECT
  quota.period_start,
  CAST(count(*) FILTER (WHERE coalesce(won.amount, 0) >= quota.quota_amount) AS DOUBLE) / count(*) AS value
FROM monthly_quotas AS quota
LEFT JOIN won ON won.owner_id = quota.user_id AND won.period_start = quota.period_start
LEFT JOIN users ON users.user_id = quota.user_id AND NOT users.is_deleted
WHERE quota.quota_amount > 0 AND (users.end_date IS NULL OR users.end_date > quota.period_start)
GROUP BY quota.period_start
