/* ---
kpi: gap
--- */
SELECT period(order_date) AS period, count(*) FILTER (WHERE placed_at > now()) AS value
FROM orders
GROUP BY 1
