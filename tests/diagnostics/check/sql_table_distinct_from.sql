/* ---
table: others
--- */
SELECT order_id, order_date
FROM orders
WHERE region IS NOT DISTINCT FROM 'west' AND amount > 5
