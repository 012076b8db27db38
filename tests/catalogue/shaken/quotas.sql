-- Some quotas are deleted, 0, very small, or for a quarter.
SELECT * EXCLUDE (number) REPLACE (
  is_deleted OR number % 19 = 0 AS is_deleted,
  CASE WHEN number % 23 = 0 THEN 0 WHEN number % 29 = 0 THEN 0.5 ELSE quota_amount END AS quota_amount,
  CASE
    WHEN period_start < '2025-10-01' AND number % 17 = 0 THEN period_start + INTERVAL '3 months'
    ELSE period_end
  END AS period_end
)
FROM (
  SELECT *, CAST(right(quota_id, 6) AS INT) AS number
  FROM quotas
)
