-- The share of positive less that of negative ones, of what has a sentiment, by week.
SELECT
  date_trunc('week', CAST(responded_at AT TIME ZONE 'America/New_York' AS DATE)) AS period_start,
  CAST(count(*) FILTER (WHERE sentiment = 'positive') - count(*) FILTER (WHERE sentiment = 'negative') AS DOUBLE)
    / count(*) AS value
FROM survey_responses
WHERE sentiment IN ('positive', 'neutral', 'negative') AND responded_at IS NOT NULL AND NOT is_deleted
GROUP BY 1
