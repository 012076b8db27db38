/* ---
kpi: asked_in_one_query
grains: [month]
--- */
WITH days AS (SELECT DISTINCT day FROM visits),
slots AS (SELECT day, channel FROM days CROSS JOIN (VALUES ('mail'), ('phone')) AS channels(channel) GROUP BY day, channel)
SELECT period(visits.day) AS period, count(*) AS value
FROM visits JOIN slots ON slots.day = visits.day
GROUP BY period(visits.day)
