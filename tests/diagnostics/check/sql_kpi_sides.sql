/* ---
kpi: gap
--- */
SELECT period(order_date) AS period, sum(amount) / count(*) AS value, sum(amount) AS numerator
FROM orders
GROUP BY 1
