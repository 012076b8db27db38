/* ---
kpi: gap
--- */
SELECT period(order_date) AS period, max(channel) AS value
FROM orders
GROUP BY 1
