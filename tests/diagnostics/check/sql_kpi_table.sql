/* ---
kpi: gap
--- */
SELECT period(order_date) AS period, sum(amount) AS value
FROM order
GROUP BY 1
