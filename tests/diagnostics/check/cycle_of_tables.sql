/* ---
table: first_orders
time: order_date
--- */
SELECT * FROM first_orders WHERE amount > 0
