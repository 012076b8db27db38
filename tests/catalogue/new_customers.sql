-- Accounts by the month of their first contract ever.
WITH contracts AS (
  SELECT account_id, start_date AS begins, coalesce(end_date, DATE '2999-01-01') AS ends
  FROM subscriptions
  WHERE NOT is_deleted AND account_id IS NOT NULL AND (end_date IS NULL OR end_date > start_date)
),
months AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '1 month' AS next_start
  FROM generate_series(DATE '2022-01-01', DATE '2025-12-01', INTERVAL '1 month')
),
first_days AS (
  SELECT account_id, min(begins) AS first_day FROM contracts GROUP BY account_id
)
SELECT months.period_start, count(first_days.account_id) AS value
FROM months LEFT JOIN first_days ON date_trunc('month', first_days.first_day) = months.period_start
GROUP BY months.period_start
