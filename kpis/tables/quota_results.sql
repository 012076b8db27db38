/* ---
table: quota_results
description: >-
  What each representative was to win in a period, and what was won in it. Several quotas of one person for the same period
  are one.
primary_key: [user_id, period_start, period_end]
time: period_start
freshness: {column: known_until}
--- */
WITH known AS (
  SELECT max(updated_at) AS known_until FROM opportunities
),
goals AS (
  SELECT user_id, period_start, period_end, sum(quota_amount) AS quota_amount
  FROM quotas
  GROUP BY user_id, period_start, period_end
)
SELECT
  goals.user_id,
  goals.period_start,
  goals.period_end,
  goals.quota_amount,
  coalesce(sum(won.amount), 0) AS won_amount,
  users.end_date IS NOT NULL AND users.end_date <= goals.period_start AS has_left,
  users.name AS representative,
  users.role,
  users.team,
  users.region,
  managers.name AS manager,
  CASE
    WHEN users.start_date IS NULL THEN NULL
    WHEN days_between(users.start_date, goals.period_start) < 365 THEN '1 under a year'
    WHEN days_between(users.start_date, goals.period_start) < 1096 THEN '2 one to three years'
    ELSE '3 three years and more'
  END AS tenure_band,
  known.known_until
FROM goals
CROSS JOIN known
LEFT JOIN users ON users.user_id = goals.user_id
LEFT JOIN users AS managers ON managers.user_id = users.manager_id
LEFT JOIN opportunities AS won
  ON won.owner_id = goals.user_id
  AND won.is_won
  AND won.close_date >= goals.period_start
  AND won.close_date < goals.period_end
GROUP BY ALL
