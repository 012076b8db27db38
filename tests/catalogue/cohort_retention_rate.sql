-- Of the accounts first active in a month, the share that is active on the last day of the k-th month behind it.
-- Ages up to 12; the catalogue names no greatest age.
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
  SELECT next_start - INTERVAL '1 day' AS day FROM months
),
customers AS (
  -- On a day on which no contract runs, the next one must begin at most 30 days behind the end of the last one.
  SELECT day, account_id
  FROM contracts CROSS JOIN boundaries
  GROUP BY day, account_id
  HAVING max(ends) FILTER (WHERE begins <= day) > day
    OR min(begins) FILTER (WHERE begins > day) <= max(ends) FILTER (WHERE begins <= day) + INTERVAL '30 days'
),
first_days AS (
  SELECT account_id, min(begins) AS first_day FROM contracts GROUP BY account_id
),
cohorts AS (
  SELECT account_id, date_trunc('month', first_day) AS period_start FROM first_days
)
SELECT
  cohorts.period_start,
  CAST(ages.value AS BIGINT) AS age,
  CAST(count(customers.account_id) AS DOUBLE) / count(*) AS value
FROM cohorts
CROSS JOIN generate_series(0, 12) AS ages
JOIN months
  ON extract(year FROM months.period_start) * 12 + extract(month FROM months.period_start)
    = extract(year FROM cohorts.period_start) * 12 + extract(month FROM cohorts.period_start) + ages.value
LEFT JOIN customers
  ON customers.account_id = cohorts.account_id AND customers.day = months.next_start - INTERVAL '1 day'
GROUP BY cohorts.period_start, ages.value
