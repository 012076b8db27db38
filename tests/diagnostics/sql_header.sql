/* ---
table: customer_periods
descripton: The one definition of "customer"
primary_key: {a: b}
--- */
SELECT account_id FROM orders
