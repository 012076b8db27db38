-- Mean score of the leads that came in the month and have one.
WITH real_leads AS (
  SELECT *, CAST(created_at AT TIME ZONE 'America/New_York' AS DATE) AS created_on
  FROM leads
  WHERE NOT is_deleted AND NOT is_duplicate
)
SELECT date_trunc('month', created_on) AS period_start, CAST(sum(score) AS DOUBLE) / count(score) AS value
FROM real_leads
WHERE score IS NOT NULL
GROUP BY 1
