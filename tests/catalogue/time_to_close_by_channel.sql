-- Mean days from the opening to the win, by quarter and channel of the deal.
SELECT
  date_trunc('quarter', close_date) AS period_start,
  channel,
  avg(CAST(close_date - CAST(created_at AT TIME ZONE 'America/New_York' AS DATE) AS DOUBLE)) AS value
FROM opportunities
WHERE is_closed AND is_won AND NOT is_deleted
GROUP BY 1, 2
