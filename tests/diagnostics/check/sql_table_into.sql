/* ---
table: totals
--- */
SELECT order_date AS "INTO", amount into elsewhere FROM orders
