-- Mean days from an account's earliest lead to its first contract ever, by quarter of that contract.
-- Leads that came after it are no leads to it.
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
),
waited AS (
  SELECT first_days.account_id, first_days.first_day, min(real_leads.created_on) AS created_on
  FROM first_days JOIN real_leads
    ON real_leads.converted_account_id = first_days.account_id AND real_leads.created_on <= first_days.first_day
  GROUP BY first_days.account_id, first_days.first_day
)
SELECT date_trunc('quarter', first_day) AS period_start, CAST(sum(first_day - created_on) AS DOUBLE) / count(*) AS value
FROM waited
GROUP BY 1
