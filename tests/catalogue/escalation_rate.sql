-- Of the calls about cases that somebody took in the week, those passed on.
WITH calls AS (
  SELECT date_trunc('week', CAST(started_at AT TIME ZONE 'America/New_York' AS DATE)) AS period_start, is_escalated
  FROM activities
  WHERE activity_type = 'call' AND direction = 'inbound' AND case_id IS NOT NULL AND NOT is_deleted
    AND (outcome IS NULL OR outcome NOT IN ('abandoned', 'no_answer', 'voicemail'))
)
SELECT period_start, CAST(sum(CASE WHEN is_escalated THEN 1 ELSE 0 END) AS DOUBLE) / count(*) AS value
FROM calls
GROUP BY period_start
