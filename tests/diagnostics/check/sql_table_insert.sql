/* ---
table: totals
--- */
WITH written AS (insert INTO orders VALUES (1) RETURNING order_date)
SELECT order_date FROM written
