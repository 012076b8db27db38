/* ---
kpi: gap
--- */
SELECT period(order_date) AS period, sum(amount) AS value FROM orders GROUP BY 1
UNION ALL
SELECT period(order_date) AS period, 0 AS value FROM orders GROUP BY 1
