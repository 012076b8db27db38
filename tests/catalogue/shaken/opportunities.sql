-- More deals are deleted, without amount, and against a competitor; more are opened late in the evening.
SELECT * EXCLUDE (number, inside, late) REPLACE (
  is_deleted OR (inside AND number % 11 = 0) AS is_deleted,
  CASE WHEN number % 29 = 0 THEN NULL ELSE amount END AS amount,
  CASE WHEN number % 7 = 0 THEN 'Nimbus' ELSE primary_competitor END AS primary_competitor,
  created_at + late AS created_at
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
      created_at >= '2023-03-05' AND created_at < '2025-11-20' AS inside
    FROM opportunities
  )
)
