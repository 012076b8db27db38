-- Calls about cases that somebody took and did not pass on, by week.
WITH weeks AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '7 days' AS next_start
  FROM generate_series(DATE '2022-12-26', DATE '2025-12-22', INTERVAL '7 days')
),
calls AS (
  SELECT date_trunc('week', CAST(started_at AT TIME ZONE 'America/New_York' AS DATE)) AS period_start, is_escalated
  FROM activities
  WHERE activity_type = 'call' AND direction = 'inbound' AND case_id IS NOT NULL AND NOT is_deleted
    AND (outcome IS NULL OR outcome NOT IN ('abandoned', 'no_answer', 'voicemail'))
)
SELECT weeks.period_start, count(calls.period_start) FILTER (WHERE NOT calls.is_escalated) AS value
FROM weeks LEFT JOIN calls ON calls.period_start = weeks.period_start
GROUP BY weeks.period_start
