-- Lead conversion by source, whatever its spelling.
WITH real_leads AS (
  SELECT *, CAST(created_at AT TIME ZONE 'America/New_York' AS DATE) AS created_on
  FROM leads
  WHERE NOT is_deleted AND NOT is_duplicate
),
contracts AS (
  SELECT account_id, start_date AS begins, coalesce(end_date, DATE '2999-01-01') AS ends
  FROM subscriptions
  WHERE NOT is_deleted AND account_id IS NOT NULL AND (end_date IS NULL OR end_date > start_date)
),
first_days AS (
  SELECT account_id, min(begins) AS first_day FROM contracts GROUP BY account_id
)
SELECT
  date_trunc('month', created_on) AS period_start,
  coalesce(lower(trim(lead_source)), 'unknown') AS lead_source,
  CAST(count(*) FILTER (WHERE first_day - created_on BETWEEN 0 AND 90) AS DOUBLE) / count(*) AS value
FROM real_leads LEFT JOIN first_days ON first_days.account_id = real_leads.converted_account_id
GROUP BY 1, 2
