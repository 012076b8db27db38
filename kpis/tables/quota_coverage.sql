/* ---
table: quota_coverage
description: >-
  Rows between the days on which each counts: what a representative is to win, from the start of the period of a quota to
  its end; less what was won, from the day of the win; and the open deals that are expected to close within that period, in
  their stretches. Added up they say on any day what is still to be won in the running period, and what may close in it.
time: begins
joins:
  owner: {table: users, on: owner_id = user_id}
dimensions:
  team: owner.team
  region: owner.region
  representative: owner.name
freshness: {column: known_until}
--- */
WITH known AS (
  SELECT max(updated_at) AS known_until FROM opportunities
),
goals AS (
  SELECT user_id AS owner_id, period_start, period_end, sum(quota_amount) AS quota_amount
  FROM quotas
  GROUP BY user_id, period_start, period_end
)
SELECT owner_id, period_start AS begins, period_end AS ends, quota_amount AS remaining, 0 AS open_amount, known_until
FROM goals CROSS JOIN known
UNION ALL
SELECT goals.owner_id, won.close_date, goals.period_end, -won.amount, 0, known_until
FROM goals
CROSS JOIN known
JOIN opportunities AS won
  ON won.owner_id = goals.owner_id
  AND won.is_won
  AND won.close_date >= goals.period_start
  AND won.close_date < goals.period_end
UNION ALL
SELECT
  goals.owner_id,
  greatest(pipeline.begins, goals.period_start),
  least(pipeline.ends, goals.period_end),
  0,
  pipeline.amount,
  known_until
FROM goals
CROSS JOIN known
JOIN pipeline
  ON pipeline.owner_id = goals.owner_id
  AND pipeline.expected_on >= goals.period_start
  AND pipeline.expected_on < goals.period_end
  AND pipeline.begins < goals.period_end
  AND (pipeline.ends IS NULL OR pipeline.ends > goals.period_start)
