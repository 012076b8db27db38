/* ---
table: newest_slot
time: day
--- */
SELECT day, channel
FROM slots
ORDER BY day DESC, channel DESC
LIMIT 1
