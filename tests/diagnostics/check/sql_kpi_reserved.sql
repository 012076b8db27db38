/* ---
kpi: gap
--- */
SELECT period(order_date) AS period, status, sum(amount) AS value
FROM orders
GROUP BY 1, 2
