/* ---
table: cash_and_card
time: day
--- */
SELECT day, amount FROM cash
UNION ALL
SELECT day, amount FROM card
