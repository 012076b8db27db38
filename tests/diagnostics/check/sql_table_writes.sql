/* ---
table: totals
--- */
DELETE FROM orders
