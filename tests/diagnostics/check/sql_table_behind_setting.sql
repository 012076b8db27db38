/* ---
table: recent
time: order_date
--- */
SELECT order_id, order_date
FROM orders
WHERE amount > {{ retention_days }} AND chanel = 'web'
