/* ---
table: first_orders
description: Accounts that ever ordered something, on the day of their first completed order that is no credit note.
primary_key: account_id
time: first_day
freshness: {column: updated_at}
--- */
SELECT account_id, min(order_date) AS first_day, max(updated_at) AS updated_at
FROM orders
WHERE status = 'completed' AND coalesce(order_type, '') <> 'credit' AND account_id IS NOT NULL
GROUP BY account_id
