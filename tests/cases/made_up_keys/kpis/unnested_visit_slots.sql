/* ---
table: unnested_visit_slots
time: day
--- */
SELECT visits.day
FROM visits JOIN unnested_slots AS slots ON slots.day = visits.day
