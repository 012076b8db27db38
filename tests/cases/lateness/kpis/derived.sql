/* ---
table: derived
time: day
freshness: {column: loaded_at}
--- */
SELECT * FROM week
