/* ---
kpi: spread
by: [region]
--- */
SELECT period(ordered_on) AS period, region, max(amount) - min(amount) AS value, count(*) AS n
FROM orders
GROUP BY period, region
