-- Leads by week and source. The CRM has sources in several spellings; weeks without leads of a source are 0.
WITH weeks AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '7 days' AS next_start
  FROM generate_series(DATE '2022-12-26', DATE '2025-12-22', INTERVAL '7 days')
),
real_leads AS (
  SELECT *, CAST(created_at AT TIME ZONE 'America/New_York' AS DATE) AS created_on
  FROM leads
  WHERE NOT is_deleted AND NOT is_duplicate
),
came AS (
  SELECT date_trunc('week', created_on) AS period_start, coalesce(lower(trim(lead_source)), 'unknown') AS lead_source
  FROM real_leads
),
members AS (
  SELECT DISTINCT lead_source FROM came
)
SELECT weeks.period_start, members.lead_source, count(came.lead_source) AS value
FROM weeks
CROSS JOIN members
LEFT JOIN came ON came.period_start = weeks.period_start AND came.lead_source = members.lead_source
GROUP BY weeks.period_start, members.lead_source
