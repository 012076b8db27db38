-- NPS by segment.
SELECT
  accounts.segment,
  date_trunc('quarter', CAST(responded_at AT TIME ZONE 'America/New_York' AS DATE)) AS period_start,
  100.0 * sum(CASE WHEN score >= 9 THEN 1 WHEN score <= 6 THEN -1 ELSE 0 END) / count(*) AS value
FROM survey_responses
LEFT JOIN accounts
  ON accounts.account_id = survey_responses.account_id AND NOT accounts.is_deleted AND accounts.name NOT LIKE 'TEST %'
WHERE survey_type = 'nps' AND score IS NOT NULL AND responded_at IS NOT NULL AND NOT survey_responses.is_deleted
GROUP BY 1, 2
