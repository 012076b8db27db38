/* ---
table: visit_slots
time: day
--- */
SELECT visits.day
FROM visits JOIN slots AS slots ON slots.day = visits.day
