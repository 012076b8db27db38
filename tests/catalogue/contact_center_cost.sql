-- What service cost in the month, as the ledger has it; a month without such a cost is 0.
WITH months AS (
  SELECT CAST(value AS DATE) AS period_start
  FROM generate_series(DATE '2023-01-01', DATE '2025-12-01', INTERVAL '1 month')
)
SELECT months.period_start, coalesce(sum(gl_balances.movement_amount), 0) AS value
FROM months
LEFT JOIN gl_balances
  ON date_trunc('month', gl_balances.period_end) = months.period_start
  AND gl_balances.gl_class = 'service_expense'
  AND NOT gl_balances.is_deleted
GROUP BY months.period_start
