-- Of the deals that were opened in the month, those won by now.
SELECT
  date_trunc('month', CAST(created_at AT TIME ZONE 'America/New_York' AS DATE)) AS period_start,
  CAST(count(*) FILTER (WHERE is_won AND close_date <= DATE '2025-12-31') AS DOUBLE) / count(*) AS value
FROM opportunities
WHERE NOT is_deleted
GROUP BY 1
