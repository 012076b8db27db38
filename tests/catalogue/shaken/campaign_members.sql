-- More members are deleted; more are added and respond late in the evening.
SELECT * EXCLUDE (number, inside, late) REPLACE (
  is_deleted OR (inside AND number % 23 = 0) AS is_deleted,
  added_at + late AS added_at,
  first_responded_at + late AS first_responded_at
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
      CAST(right(campaign_member_id, 6) AS INT) AS number,
      added_at >= '2023-03-05' AND added_at < '2025-11-20' AS inside
    FROM campaign_members
  )
)
