/* ---
table: recent
time: order_date
--- */
SELECT order_id, order_date
FROM orders
WHERE channel = 'web
