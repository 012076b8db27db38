/* ---
kpi: gap
by: [region]
grains: [quarter, week]
--- */
SELECT period(at) AS period, region, max(amount) - min(amount) AS value, count(*) AS n
FROM orders
GROUP BY 1, 2
