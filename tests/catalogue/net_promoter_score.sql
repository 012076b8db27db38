-- 100 times promoters less detractors, over all answers with a score, by quarter.
SELECT
  date_trunc('quarter', CAST(responded_at AT TIME ZONE 'America/New_York' AS DATE)) AS period_start,
  100.0 * sum(CASE WHEN score >= 9 THEN 1 WHEN score <= 6 THEN -1 ELSE 0 END) / count(*) AS value
FROM survey_responses
WHERE survey_type = 'nps' AND score IS NOT NULL AND responded_at IS NOT NULL AND NOT is_deleted
GROUP BY 1
