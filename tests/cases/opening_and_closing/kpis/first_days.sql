/* ---
table: first_days
time: first_day
--- */
SELECT account, min(start_date) AS first_day
FROM subscriptions
GROUP BY account
