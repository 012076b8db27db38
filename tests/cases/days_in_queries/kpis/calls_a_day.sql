/* ---
kpi: calls_a_day
grains: [day]
--- */
SELECT period(called_at) AS period, count(*) AS value
FROM calls
WHERE local_date(called_at) < local_date(answered_at)
GROUP BY period(called_at)
