/* ---
table: totals
time: last_day
primary_key: acount_id
--- */
SELECT account_id, max(order_date) AS last_day
FROM orders
GROUP BY account_id
