/* ---
table: recent
time: order_date
--- */
SELECT order_id, order_date
FROM orders
WHERE order_date > now() - INTERVAL '30 days'
