/* ---
table: days
time: day
--- */
SELECT day, count(*) AS visits
FROM visits
GROUP BY day
