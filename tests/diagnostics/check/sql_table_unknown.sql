/* ---
table: totals
time: last_day
--- */
SELECT account_id, max(order_date) AS last_day
FROM ordrs
GROUP BY account_id
