-- NPS by the product that the survey was about, never by what the account owns.
SELECT
  date_trunc('quarter', CAST(survey_responses.responded_at AT TIME ZONE 'America/New_York' AS DATE)) AS period_start,
  coalesce(products.name, '(none)') AS product,
  100.0 * (count(*) FILTER (WHERE score IN (9, 10)) - count(*) FILTER (WHERE score BETWEEN 0 AND 6)) / count(*) AS value
FROM survey_responses
LEFT JOIN products ON products.product_id = survey_responses.product_id AND NOT products.is_deleted
WHERE survey_type = 'nps' AND score IS NOT NULL AND responded_at IS NOT NULL AND NOT survey_responses.is_deleted
GROUP BY 1, 2
