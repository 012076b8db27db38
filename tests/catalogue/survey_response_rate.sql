-- Of the surveys sent in the month, those answered on one of the 14 days behind that of sending, or on it.
WITH sent AS (
  SELECT
    CAST(sent_at AT TIME ZONE 'America/New_York' AS DATE) AS sent_on,
    CAST(responded_at AT TIME ZONE 'America/New_York' AS DATE) AS answered_on
  FROM survey_responses
  WHERE sent_at IS NOT NULL AND NOT is_deleted
)
SELECT
  date_trunc('month', sent_on) AS period_start,
  CAST(count(*) FILTER (WHERE answered_on <= sent_on + INTERVAL '14 days') AS DOUBLE) / count(*) AS value
FROM sent
GROUP BY 1
