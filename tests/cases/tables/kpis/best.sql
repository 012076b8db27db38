/* ---
table: best_accounts
time: last_day
--- */
SELECT * FROM account_totals WHERE total >= 20
