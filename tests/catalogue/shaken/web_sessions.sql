-- More sessions are deleted; more begin late in the evening.
SELECT * EXCLUDE (number, inside, late) REPLACE (
  is_deleted OR (inside AND number % 23 = 0) AS is_deleted,
  started_at + late AS started_at,
  goal_completed_at + late AS goal_completed_at
)
FROM (
  SELECT
    *,
    CASE
      WHEN NOT inside THEN INTERVAL '0 hours'
      WHEN number % 3 = 0 THEN INTERVAL '7 hours'
      WHEN number % 3 = 1 THEN INTERVAL '55 hours'  -- from the afternoon of a Friday to the evening of the Sunday
      ELSE INTERVAL '0 hours'
    END AS late
  FROM (
    SELECT
      *,
      CAST(right(session_id, 6) AS INT) AS number,
      started_at >= '2023-03-05' AND started_at < '2025-11-20' AS inside
    FROM web_sessions
  )
)
