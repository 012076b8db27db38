-- Cases by day and kind, with the days without any.
WITH days AS (
  SELECT CAST(value AS DATE) AS period_start
  FROM generate_series(DATE '2023-01-02', DATE '2025-12-31', INTERVAL '1 day')
),
came AS (
  SELECT CAST(created_at AT TIME ZONE 'America/New_York' AS DATE) AS period_start, case_type, count(*) AS cases
  FROM cases
  WHERE NOT is_deleted
  GROUP BY 1, 2
)
SELECT days.period_start, members.case_type, coalesce(came.cases, 0) AS value
FROM days
CROSS JOIN (SELECT case_type FROM cases WHERE NOT is_deleted GROUP BY case_type) AS members
LEFT JOIN came ON came.period_start = days.period_start AND came.case_type = members.case_type
