-- What runs on the last day of the month, a month.
WITH months AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '1 month' AS next_start
  FROM generate_series(DATE '2022-01-01', DATE '2025-12-01', INTERVAL '1 month')
)
SELECT months.period_start, coalesce(sum(subscriptions.mrr), 0) AS value
FROM months
LEFT JOIN subscriptions
  ON subscriptions.start_date < months.next_start
  AND coalesce(subscriptions.end_date, DATE '2999-01-01') >= months.next_start
  AND NOT subscriptions.is_deleted
GROUP BY months.period_start
