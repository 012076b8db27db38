/* ---
kpi: counted
grains: [month]
--- */
SELECT period(day) AS period, count(*) AS value FROM week GROUP BY 1
