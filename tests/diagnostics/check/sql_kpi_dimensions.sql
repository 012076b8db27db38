/* ---
kpi: gap
by: [region, chanel]
required_dimensions: [currency]
--- */
SELECT period(order_date) AS period, channel, status, sum(amount) AS value
FROM orders
GROUP BY 1, 2, 3
