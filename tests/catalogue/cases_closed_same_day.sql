-- Cases closed on the day in New York on which they came, by that day; days without any are 0.
WITH days AS (
  SELECT CAST(value AS DATE) AS period_start
  FROM generate_series(DATE '2023-01-03', DATE '2025-12-31', INTERVAL '1 day')
),
closed AS (
  SELECT CAST(closed_at AT TIME ZONE 'America/New_York' AS DATE) AS period_start, count(*) AS cases
  FROM cases
  WHERE NOT is_deleted
    AND CAST(closed_at AT TIME ZONE 'America/New_York' AS DATE)
      = CAST(created_at AT TIME ZONE 'America/New_York' AS DATE)
  GROUP BY 1
)
SELECT days.period_start, coalesce(closed.cases, 0) AS value
FROM days LEFT JOIN closed ON closed.period_start = days.period_start
