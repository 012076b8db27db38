-- By month and step: of the leads that entered a step, those in the next one up to the 90th day.
-- A lead that skipped a step entered it with the next one that it took. The names of the steps are those of the KPI.
WITH real_leads AS (
  SELECT *, CAST(created_at AT TIME ZONE 'America/New_York' AS DATE) AS created_on
  FROM leads
  WHERE NOT is_deleted AND NOT is_duplicate
),
stamps AS (
  SELECT lead_id, 1 AS step, created_on AS day FROM real_leads
  UNION ALL SELECT lead_id, 2, CAST(mql_at AT TIME ZONE 'America/New_York' AS DATE) FROM real_leads
  UNION ALL SELECT lead_id, 3, CAST(sal_at AT TIME ZONE 'America/New_York' AS DATE) FROM real_leads
  UNION ALL SELECT lead_id, 4, CAST(sql_at AT TIME ZONE 'America/New_York' AS DATE) FROM real_leads
  UNION ALL SELECT lead_id, 5, CAST(converted_at AT TIME ZONE 'America/New_York' AS DATE) FROM real_leads
),
-- The stamp of a step is that of the first step, from it on, that has one.
entered AS (
  SELECT DISTINCT lead_id, step, first_value(day) IGNORE NULLS OVER (
      PARTITION BY lead_id ORDER BY step ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
    ) AS day
  FROM stamps
)
SELECT
  date_trunc('month', entered.day) AS period_start,
  CASE entered.step
    WHEN 1 THEN '1 created'
    WHEN 2 THEN '2 qualified by marketing'
    WHEN 3 THEN '3 accepted by sales'
    WHEN 4 THEN '4 qualified by sales'
  END AS step,
  CAST(count(*) FILTER (WHERE following.day <= entered.day + INTERVAL '90 days') AS DOUBLE) / count(*) AS value
FROM entered
JOIN entered AS following ON following.lead_id = entered.lead_id AND following.step = entered.step + 1
WHERE entered.day IS NOT NULL
GROUP BY 1, 2
