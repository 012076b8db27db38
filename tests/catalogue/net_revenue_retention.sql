-- What the payers of the day before the month pay on its last day, over what they paid.
WITH months AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '1 month' AS next_start
  FROM generate_series(DATE '2022-01-01', DATE '2025-12-01', INTERVAL '1 month')
),
boundaries AS (
  -- The days before the first days of all of them, and the last day of the last one.
  SELECT CAST(value AS DATE) - INTERVAL '1 day' AS day
  FROM generate_series(DATE '2022-01-01', DATE '2026-01-01', INTERVAL '1 month')
),
running AS (
  -- What each account pays a month at both ends; without a contract on the day there is no row.
  SELECT day, account_id, sum(mrr) AS mrr
  FROM boundaries JOIN subscriptions ON start_date <= day AND (end_date IS NULL OR end_date > day)
  WHERE NOT is_deleted AND account_id IS NOT NULL
  GROUP BY day, account_id
)
SELECT
  months.period_start,
  CAST(coalesce(sum(after.mrr), 0) AS DOUBLE) / nullif(CAST(sum(before.mrr) AS DOUBLE), 0) AS value
FROM months
JOIN running AS before ON before.day = months.period_start - INTERVAL '1 day'
LEFT JOIN running AS after ON after.day = months.next_start - INTERVAL '1 day' AND after.account_id = before.account_id
GROUP BY months.period_start
