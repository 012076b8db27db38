/* ---
table: distinct_slots
time: day
--- */
SELECT DISTINCT day, channel
FROM slots
