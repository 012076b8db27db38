/* ---
table: left_slots
time: day
--- */
SELECT day, channel
FROM days LEFT JOIN (VALUES ('mail'), ('phone')) AS channels(channel) ON true
GROUP BY day, channel
