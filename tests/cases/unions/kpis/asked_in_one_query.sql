/* ---
kpi: asked_in_one_query
grains: [month]
--- */
SELECT period(day) AS period, sum(amount) AS value
FROM (SELECT local_date(at) AS day, amount FROM coupons UNION ALL SELECT day, amount FROM card) AS paid
GROUP BY period(day)
