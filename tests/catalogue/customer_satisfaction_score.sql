-- Answers in the two best boxes, of whatever scale, over the answers with a score, by week of the answer.
SELECT
  date_trunc('week', CAST(responded_at AT TIME ZONE 'America/New_York' AS DATE)) AS period_start,
  CAST(count(*) FILTER (WHERE score + 1 >= scale_max) AS DOUBLE) / count(score) AS value
FROM survey_responses
WHERE survey_type = 'csat' AND score IS NOT NULL AND responded_at IS NOT NULL AND NOT is_deleted
GROUP BY 1
