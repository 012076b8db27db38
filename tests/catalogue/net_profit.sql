-- What the ledger of the month leaves after all costs, interest and tax; without one of its classes there is no profit.
WITH classes AS (
  SELECT date_trunc('month', period_end) AS period_start, gl_class, sum(movement_amount) AS movement
  FROM gl_balances
  WHERE NOT is_deleted AND gl_class NOT IN ('current_assets', 'current_liabilities')
  GROUP BY 1, 2
)
SELECT
  period_start,
  sum(CASE WHEN gl_class IN ('revenue', 'other_income') THEN movement ELSE -movement END) AS value
FROM classes
GROUP BY period_start
HAVING count(*) = 9
