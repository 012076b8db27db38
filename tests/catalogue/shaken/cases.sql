-- More cases are deleted; more come and are closed late in the evening.
SELECT * EXCLUDE (number, inside, late) REPLACE (
  is_deleted OR (inside AND number % 23 = 0) AS is_deleted,
  CASE WHEN number % 29 = 0 THEN 'social' ELSE origin END AS origin,
  created_at + late AS created_at,
  first_response_at + late AS first_response_at,
  closed_at + late AS closed_at,
  reopened_at + late AS reopened_at
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
      CAST(right(case_id, 6) AS INT) AS number,
      created_at >= '2023-03-05' AND created_at < '2025-11-20' AS inside
    FROM cases
  )
)
