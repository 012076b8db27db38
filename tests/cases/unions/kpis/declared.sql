/* ---
table: declared
time: day
columns:
  amount: {type: "decimal(18,2)"}
--- */
SELECT day, amount FROM cash
UNION ALL
SELECT day, amount FROM card
