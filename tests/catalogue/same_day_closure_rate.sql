-- Of the cases of the day, those closed on it, in New York.
WITH local_cases AS (
  SELECT
    CAST(created_at AT TIME ZONE 'America/New_York' AS DATE) AS created_on,
    CAST(closed_at AT TIME ZONE 'America/New_York' AS DATE) AS closed_on
  FROM cases
  WHERE NOT is_deleted
)
SELECT created_on AS period_start, avg(CASE WHEN closed_on = created_on THEN 1.0 ELSE 0.0 END) AS value
FROM local_cases
GROUP BY created_on
