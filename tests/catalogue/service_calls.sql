-- Calls about cases that somebody took, by day; days without any are 0.
-- Handled is what was neither abandoned nor missed.
WITH days AS (
  SELECT CAST(value AS DATE) AS period_start
  FROM generate_series(DATE '2023-01-01', DATE '2025-12-31', INTERVAL '1 day')
),
calls AS (
  SELECT CAST(started_at AT TIME ZONE 'America/New_York' AS DATE) AS period_start, count(*) AS calls
  FROM activities
  WHERE activity_type = 'call' AND direction = 'inbound' AND case_id IS NOT NULL AND NOT is_deleted
    AND (outcome IS NULL OR outcome NOT IN ('abandoned', 'no_answer', 'voicemail'))
  GROUP BY 1
)
SELECT days.period_start, coalesce(calls.calls, 0) AS value
FROM days LEFT JOIN calls ON calls.period_start = days.period_start
