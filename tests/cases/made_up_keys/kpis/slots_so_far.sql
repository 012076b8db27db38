/* ---
table: slots_so_far
time: day
--- */
SELECT day, count(*) OVER (ORDER BY day) AS so_far
FROM slots
