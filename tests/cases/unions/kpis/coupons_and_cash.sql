/* ---
table: coupons_and_cash
time: day
--- */
SELECT local_date(at) AS day, amount FROM coupons
UNION ALL
SELECT day, amount FROM cash
