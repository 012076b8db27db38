/* ---
kpi: gap
--- */
SELECT order_date AS period, sum(amount) AS value
FROM orders
GROUP BY order_date
