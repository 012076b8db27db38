-- What those with a quota for exactly this month won, over their quotas, with those of 0.
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
  CAST(coalesce(sum(won.amount), 0) AS DOUBLE) / nullif(sum(quota.quota_amount), 0) AS value
FROM monthly_quotas AS quota
LEFT JOIN won ON won.owner_id = quota.user_id AND won.period_start = quota.period_start
GROUP BY quota.period_start
