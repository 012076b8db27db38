/* ---
table: totals
--- */
SELECT account_id,
       sum(amount) total
FROM orders
GROUP account_id
