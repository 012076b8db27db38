-- What service cost in the month, as the ledger has it.
SELECT date_trunc('month', period_end) AS period_start, sum(movement_amount) AS value
FROM gl_balances
WHERE gl_class = 'service_expense' AND NOT is_deleted
GROUP BY 1
