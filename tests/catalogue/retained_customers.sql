-- Customers of the day before the month who are customers on its last day as well.
WITH contracts AS (
  SELECT account_id, start_date AS begins, coalesce(end_date, DATE '2999-01-01') AS ends
  FROM subscriptions
  WHERE NOT is_deleted AND account_id IS NOT NULL AND (end_date IS NULL OR end_date > start_date)
),
months AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '1 month' AS next_start
  FROM generate_series(DATE '2022-01-01', DATE '2025-12-01', INTERVAL '1 month')
),
boundaries AS (
  -- The days before the first days of all of them, and the last day of the last one.
  SELECT CAST(value AS DATE) - INTERVAL '1 day' AS day
  FROM generate_series(DATE '2022-01-01', DATE '2026-01-01', INTERVAL '1 month')
),
customers AS (
  -- On a day on which no contract runs, the next one must begin at most 30 days behind the end of the last one.
  SELECT day, account_id
  FROM contracts CROSS JOIN boundaries
  GROUP BY day, account_id
  HAVING max(ends) FILTER (WHERE begins <= day) > day
    OR min(begins) FILTER (WHERE begins > day) <= max(ends) FILTER (WHERE begins <= day) + INTERVAL '30 days'
)
SELECT months.period_start, count(after.account_id) AS value
FROM months
LEFT JOIN customers AS before ON before.day = months.period_start - INTERVAL '1 day'
LEFT JOIN customers AS after
  ON after.day = months.next_start - INTERVAL '1 day' AND after.account_id = before.account_id
GROUP BY months.period_start
