-- More surveys are deleted, answered without a score, with 0, or at the edge of the window.
SELECT * EXCLUDE (number, inside, late) REPLACE (
  is_deleted OR (inside AND number % 23 = 0) AS is_deleted,
  CASE WHEN number % 17 = 0 THEN NULL WHEN survey_type = 'nps' AND number % 13 = 0 THEN 0 ELSE score END AS score,
  CASE
    WHEN inside AND responded_at IS NOT NULL AND sent_at IS NOT NULL AND number % 5 = 0
      THEN sent_at + late + CASE number % 3
        WHEN 0 THEN INTERVAL '13 days'
        WHEN 1 THEN INTERVAL '15 days'
        ELSE INTERVAL '14 days'
      END
    ELSE responded_at + late
  END AS responded_at,
  sent_at + late AS sent_at
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
      CAST(right(response_id, 6) AS INT) AS number,
      coalesce(sent_at, responded_at) >= '2023-03-05' AND coalesce(sent_at, responded_at) < '2025-11-20' AS inside
    FROM survey_responses
  )
)
