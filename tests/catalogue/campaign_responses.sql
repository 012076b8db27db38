-- Members by the week of their first response.
WITH weeks AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '7 days' AS next_start
  FROM generate_series(DATE '2023-01-02', DATE '2025-12-22', INTERVAL '7 days')
),
responses AS (
  SELECT CAST(first_responded_at AT TIME ZONE 'America/New_York' AS DATE) AS day
  FROM campaign_members
  WHERE first_responded_at IS NOT NULL AND NOT is_deleted
)
SELECT weeks.period_start, count(responses.day) AS value
FROM weeks LEFT JOIN responses ON responses.day >= weeks.period_start AND responses.day < weeks.next_start
GROUP BY weeks.period_start
