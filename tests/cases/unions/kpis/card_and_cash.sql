/* ---
table: card_and_cash
time: day
--- */
SELECT day, amount FROM card
UNION ALL
SELECT day, amount FROM cash
