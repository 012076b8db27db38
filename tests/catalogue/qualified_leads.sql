-- Leads by the week in which sales qualified them.
WITH weeks AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '7 days' AS next_start
  FROM generate_series(DATE '2022-12-26', DATE '2025-12-22', INTERVAL '7 days')
),
qualified AS (
  SELECT CAST(sql_at AT TIME ZONE 'America/New_York' AS DATE) AS day
  FROM leads
  WHERE sql_at IS NOT NULL AND NOT is_deleted AND NOT is_duplicate
)
SELECT weeks.period_start, count(qualified.day) AS value
FROM weeks LEFT JOIN qualified ON qualified.day >= weeks.period_start AND qualified.day < weeks.next_start
GROUP BY weeks.period_start
