-- Current assets over current liabilities, as they stand on the last day of the quarter in the ledger.
WITH closings AS (
  SELECT date_trunc('quarter', period_end) AS period_start, max(period_end) AS last_day
  FROM gl_balances
  WHERE NOT is_deleted
  GROUP BY 1
)
SELECT
  closings.period_start,
  sum(CASE WHEN gl_class = 'current_assets' THEN closing_balance END)
    / nullif(sum(CASE WHEN gl_class = 'current_liabilities' THEN closing_balance END), 0) AS value
FROM closings JOIN gl_balances ON gl_balances.period_end = closings.last_day
WHERE NOT is_deleted AND gl_class IN ('current_assets', 'current_liabilities')
GROUP BY closings.period_start
