-- Visits behind the first stage are deleted or without amount; more begin and end late in the evening.
SELECT * EXCLUDE (number, inside, late) REPLACE (
  is_deleted OR (inside AND stage_order > 1 AND CAST(right(history_id, 6) AS INT) % 31 = 0) AS is_deleted,
  CASE WHEN CAST(right(history_id, 6) AS INT) % 17 = 0 THEN NULL ELSE amount END AS amount,
  entered_at + late AS entered_at,
  exited_at + late AS exited_at
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
      CAST(right(opportunity_id, 6) AS INT) AS number,
      entered_at >= '2023-03-05' AND entered_at < '2025-11-20' AS inside
    FROM opportunity_stage_history
  )
)
