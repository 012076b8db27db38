/* ---
table: all_kinds
time: day
--- */
SELECT day, amount, note, NULL AS fee FROM cash
UNION ALL
SELECT at, amount, NULL, 0.5 FROM coupons
UNION ALL
SELECT day, amount, NULL, 1 FROM card
