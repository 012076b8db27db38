/* ---
table: totals
--- */
SELECT order_date, amount INTO elsewhere FROM orders
