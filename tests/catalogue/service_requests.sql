-- Cases by the day on which they came; days without any are 0.
WITH days AS (
  SELECT CAST(value AS DATE) AS period_start
  FROM generate_series(DATE '2023-01-02', DATE '2025-12-31', INTERVAL '1 day')
),
came AS (
  SELECT CAST(created_at AT TIME ZONE 'America/New_York' AS DATE) AS period_start, count(*) AS cases
  FROM cases
  WHERE NOT is_deleted
  GROUP BY 1
)
SELECT days.period_start, coalesce(came.cases, 0) AS value
FROM days LEFT JOIN came ON came.period_start = days.period_start
