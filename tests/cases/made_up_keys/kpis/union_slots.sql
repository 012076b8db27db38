/* ---
table: union_slots
time: day
--- */
WITH all_days AS (
  SELECT day FROM visits
  UNION
  SELECT day FROM days
)
SELECT day, channel
FROM all_days CROSS JOIN (VALUES ('mail'), ('phone')) AS channels(channel)
GROUP BY day, channel
