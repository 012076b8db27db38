/* ---
table: teams
time: middle_day
--- */
SELECT team, percentile_disc(0.5) WITHIN GROUP (ORDER BY day) AS middle_day, median(hours) AS middle
FROM calls
GROUP BY team
