-- Leads on the last day of the month that nobody gave up, whose account is no customer and whose deal is not closed.
-- After 365 days a lead is none any more: the catalogue asks for an age limit and leaves it open, the number is the
-- KPI's.
WITH months AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '1 month' - INTERVAL '1 day' AS day
  FROM generate_series(DATE '2023-01-01', DATE '2025-12-01', INTERVAL '1 month')
),
real_leads AS (
  SELECT
    *,
    CAST(created_at AT TIME ZONE 'America/New_York' AS DATE) AS created_on,
    CAST(disqualified_at AT TIME ZONE 'America/New_York' AS DATE) AS disqualified_on
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
known AS (
  SELECT
    real_leads.lead_id,
    real_leads.created_on,
    real_leads.disqualified_on,
    first_days.first_day,
    deals.close_date AS closed_on
  FROM real_leads
  LEFT JOIN first_days ON first_days.account_id = real_leads.converted_account_id
  LEFT JOIN opportunities AS deals
    ON deals.opportunity_id = real_leads.converted_opportunity_id AND deals.is_closed AND NOT deals.is_deleted
)
SELECT months.period_start, count(known.lead_id) AS value
FROM months
LEFT JOIN known
  ON known.created_on <= months.day
  AND months.day - known.created_on < 365
  AND NOT coalesce(known.disqualified_on <= months.day, false)
  AND NOT coalesce(known.first_day <= months.day, false)
  AND NOT coalesce(known.closed_on <= months.day, false)
GROUP BY months.period_start
