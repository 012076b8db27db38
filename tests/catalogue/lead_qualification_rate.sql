-- Of the leads that came in the month, those that sales qualified up to the 90th day.
WITH real_leads AS (
  SELECT *, CAST(created_at AT TIME ZONE 'America/New_York' AS DATE) AS created_on
  FROM leads
  WHERE NOT is_deleted AND NOT is_duplicate
)
SELECT
  date_trunc('month', created_on) AS period_start,
  CAST(count(*) FILTER (WHERE CAST(sql_at AT TIME ZONE 'America/New_York' AS DATE) - created_on <= 90) AS DOUBLE)
    / count(*) AS value
FROM real_leads
GROUP BY 1
