/* ---
table: slots_of_days
time: day
--- */
SELECT day, count(*) AS slots
FROM slots
GROUP BY day
