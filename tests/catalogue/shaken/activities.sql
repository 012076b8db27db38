-- More activities are deleted, automated, inbound, measured in part, or of nobody; more begin late in the evening.
SELECT * EXCLUDE (number, inside, late) REPLACE (
  is_deleted OR (inside AND number % 23 = 0) AS is_deleted,
  is_automated OR number % 19 = 0 AS is_automated,
  CASE WHEN number % 17 = 0 THEN 'inbound' ELSE direction END AS direction,
  CASE WHEN number % 31 = 0 THEN 'meeting' ELSE activity_type END AS activity_type,
  CASE
    WHEN number % 13 = 0 THEN NULL
    WHEN inside AND number % 29 = 0 THEN talk_seconds * 20
    ELSE talk_seconds
  END AS talk_seconds,
  CASE WHEN number % 11 = 0 THEN NULL ELSE hold_seconds END AS hold_seconds,
  CASE WHEN number % 5 = 0 THEN NULL ELSE wrap_seconds END AS wrap_seconds,
  CASE WHEN number % 37 = 0 THEN NULL ELSE account_id END AS account_id,
  CASE
    WHEN number % 7 = 0 THEN 'CMP' || lpad(CAST(1 + number % 71 AS VARCHAR), 6, '0')
    ELSE campaign_id
  END AS campaign_id,
  started_at + late AS started_at
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
      CAST(right(activity_id, 6) AS INT) AS number,
      started_at >= '2023-03-05' AND started_at < '2025-11-20' AS inside
    FROM activities
  )
)
