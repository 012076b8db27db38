-- Conversion of visitors by channel; who came by two of them is a visitor of both.
WITH visits AS (
  SELECT
    date_trunc('week', CAST(started_at AT TIME ZONE 'America/New_York' AS DATE)) AS period_start,
    channel,
    visitor_id,
    max(CASE WHEN goal_completed_at IS NULL THEN 0 ELSE 1 END) AS reached
  FROM web_sessions
  WHERE NOT is_deleted AND visitor_id IS NOT NULL
  GROUP BY 1, 2, 3
)
SELECT period_start, channel, CAST(sum(reached) AS DOUBLE) / count(*) AS value
FROM visits
GROUP BY period_start, channel
