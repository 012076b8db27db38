-- Of the cases of the day, those closed on it, in New York.
SELECT
  CAST(created_at AT TIME ZONE 'America/New_York' AS DATE) AS period_start,
  avg(CASE WHEN CAST(closed_at AT TIME ZONE 'America/New_York' AS DATE) = CAST(created_at AT TIME ZONE 'America/New_York' AS DATE) THEN 1.0 ELSE 0.0 END) AS value
FROM cases
WHERE NOT is_deleted
GROUP BY 1
