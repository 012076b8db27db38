/* ---
table: cash_and_coupons
time: day
--- */
SELECT day, amount FROM cash
UNION ALL
SELECT local_date(at), amount FROM coupons
