-- More members are deleted; more are added and respond late in the evening.
SELECT * EXCLUDE (number, inside, late) REPLACE (
  is_deleted OR (inside AND number % 23 = 0) AS is_deleted,
  added_at + late AS added_at,
  first_responded_at + late AS first_responded_at
)
FROM (
  SELECT
    *,
    CASE WHEN inside AND number % 3 = 0 THEN INTERVAL '7 hours' ELSE INTERVAL '0 hours' END AS late
  FROM (
    SELECT
      *,
      CAST(right(campaign_member_id, 6) AS INT) AS number,
      added_at >= '2023-03-05' AND added_at < '2025-11-20' AS inside
    FROM campaign_members
  )
)
