-- Satisfaction by the team of the agent whom the survey was about.
SELECT
  users.team,
  date_trunc('week', CAST(responded_at AT TIME ZONE 'America/New_York' AS DATE)) AS period_start,
  CAST(count(*) FILTER (WHERE score + 1 >= scale_max) AS DOUBLE) / count(score) AS value
FROM survey_responses LEFT JOIN users ON users.user_id = survey_responses.user_id AND NOT users.is_deleted
WHERE survey_type = 'csat' AND score IS NOT NULL AND responded_at IS NOT NULL AND NOT survey_responses.is_deleted
GROUP BY 1, 2
