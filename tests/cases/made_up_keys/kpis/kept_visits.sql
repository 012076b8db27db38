/* ---
table: kept_visits
time: day
--- */
SELECT visits.day
FROM visits LEFT JOIN slots ON slots.day = visits.day
