/* ---
kpi: gap
--- */
SELECT period(order_date) AS period, channel, sum(amount)
FROM orders
GROUP BY ALL
