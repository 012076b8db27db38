/* ---
kpi: number
--- */
SELECT period(day) AS period, count(*) AS value, count(*) AS n
FROM orders
GROUP BY 1
