/* ---
table: unnested_slots
time: day
--- */
SELECT day, unnest(make_array('mail', 'phone')) AS channel
FROM days
