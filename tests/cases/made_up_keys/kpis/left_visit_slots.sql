/* ---
table: left_visit_slots
time: day
--- */
SELECT visits.day
FROM visits JOIN left_slots AS slots ON slots.day = visits.day
