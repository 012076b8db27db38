-- More deals are deleted, without amount, and against a competitor; more are opened late in the evening.
SELECT * EXCLUDE (number, inside, late) REPLACE (
  is_deleted OR (inside AND number % 23 = 0) AS is_deleted,
  CASE WHEN number % 29 = 0 THEN NULL ELSE amount END AS amount,
  CASE WHEN number % 7 = 0 THEN 'Nimbus' ELSE primary_competitor END AS primary_competitor,
  created_at + late AS created_at
)
FROM (
  SELECT
    *,
    CASE WHEN inside AND number % 3 = 0 THEN INTERVAL '7 hours' ELSE INTERVAL '0 hours' END AS late
  FROM (
    SELECT
      *,
      CAST(right(opportunity_id, 6) AS INT) AS number,
      created_at >= '2023-03-05' AND created_at < '2025-11-20' AS inside
    FROM opportunities
  )
)
