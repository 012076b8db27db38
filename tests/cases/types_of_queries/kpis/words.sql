/* ---
table: words
time: day
--- */
SELECT id, day, kind AS word FROM deals
UNION ALL
SELECT id, day, CAST(NULL AS TEXT) AS word FROM deals
