SELECT account_id FROM orders
