-- Mean score of the answers of the week, 1 to 7, higher is easier.
SELECT
  date_trunc('week', CAST(responded_at AT TIME ZONE 'America/New_York' AS DATE)) AS period_start,
  CAST(sum(score) AS DOUBLE) / count(score) AS value
FROM survey_responses
WHERE survey_type = 'ces' AND score IS NOT NULL AND responded_at IS NOT NULL AND NOT is_deleted
GROUP BY 1
