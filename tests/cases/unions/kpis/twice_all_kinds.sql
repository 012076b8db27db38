/* ---
table: twice_all_kinds
time: day
--- */
SELECT * FROM all_kinds
UNION ALL
SELECT day, amount, note, fee FROM all_kinds
