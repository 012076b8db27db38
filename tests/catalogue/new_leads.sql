-- Leads by the week in New York in which they came; duplicates are none.
WITH weeks AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '7 days' AS next_start
  FROM generate_series(DATE '2022-12-26', DATE '2025-12-22', INTERVAL '7 days')
),
real_leads AS (
  SELECT *, CAST(created_at AT TIME ZONE 'America/New_York' AS DATE) AS created_on
  FROM leads
  WHERE NOT is_deleted AND NOT is_duplicate
)
SELECT weeks.period_start, count(real_leads.lead_id) AS value
FROM weeks LEFT JOIN real_leads
  ON real_leads.created_on >= weeks.period_start AND real_leads.created_on < weeks.next_start
GROUP BY weeks.period_start
