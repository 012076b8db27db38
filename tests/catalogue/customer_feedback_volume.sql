-- Answers, reviews and posts by week; weeks without any are 0.
WITH weeks AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '7 days' AS next_start
  FROM generate_series(DATE '2023-01-02', DATE '2025-12-22', INTERVAL '7 days')
),
heard AS (
  SELECT CAST(responded_at AT TIME ZONE 'America/New_York' AS DATE) AS day
  FROM survey_responses
  WHERE responded_at IS NOT NULL AND survey_type IN ('csat', 'nps', 'ces', 'review', 'social') AND NOT is_deleted
)
SELECT weeks.period_start, count(heard.day) AS value
FROM weeks LEFT JOIN heard ON heard.day >= weeks.period_start AND heard.day < weeks.next_start
GROUP BY weeks.period_start
