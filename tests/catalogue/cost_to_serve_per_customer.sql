-- What service cost in the quarter, over the mean of the customers before it and at its end.
WITH contracts AS (
  SELECT account_id, start_date AS begins, coalesce(end_date, DATE '2999-01-01') AS ends
  FROM subscriptions
  WHERE NOT is_deleted AND account_id IS NOT NULL AND (end_date IS NULL OR end_date > start_date)
),
quarters AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '3 months' AS next_start
  FROM generate_series(DATE '2023-01-01', DATE '2025-10-01', INTERVAL '3 months')
),
boundaries AS (
  -- The days before the first days of all of them, and the last day of the last one.
  SELECT CAST(value AS DATE) - INTERVAL '1 day' AS day
  FROM generate_series(DATE '2022-01-01', DATE '2026-01-01', INTERVAL '3 months')
),
customers AS (
  -- On a day on which no contract runs, the next one must begin at most 30 days behind the end of the last one.
  SELECT day, account_id
  FROM contracts CROSS JOIN boundaries
  GROUP BY day, account_id
  HAVING max(ends) FILTER (WHERE begins <= day) > day
    OR min(begins) FILTER (WHERE begins > day) <= max(ends) FILTER (WHERE begins <= day) + INTERVAL '30 days'
),
counted AS (
  SELECT day, count(*) AS customers FROM customers GROUP BY day
),
spent AS (
  SELECT date_trunc('quarter', period_end) AS period_start, sum(movement_amount) AS cost
  FROM gl_balances
  WHERE gl_class = 'service_expense' AND NOT is_deleted
  GROUP BY 1
)
SELECT quarters.period_start, cost / nullif((before.customers + after.customers) / 2.0, 0) AS value
FROM quarters
JOIN spent ON spent.period_start = quarters.period_start
LEFT JOIN counted AS before ON before.day = quarters.period_start - INTERVAL '1 day'
LEFT JOIN counted AS after ON after.day = quarters.next_start - INTERVAL '1 day'
