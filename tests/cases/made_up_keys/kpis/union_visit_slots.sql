/* ---
table: union_visit_slots
time: day
--- */
SELECT visits.day
FROM visits JOIN union_slots AS slots ON slots.day = visits.day
