/* ---
table: slots
time: day
--- */
SELECT day, channel
FROM days CROSS JOIN (VALUES ('mail'), ('phone')) AS channels(channel)
GROUP BY day, channel
