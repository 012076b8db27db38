/* ---
table: customer_profits
description: >-
  Two kinds of rows, between the days on which each counts: `customer` is 1 while an account is a customer, and `profit` is
  the gross profit of an order for `profit_days` from its day on. Added up for an account they say on any day whether it is
  a customer, and what it brought in that time before.
time: begins
joins:
  account: {table: accounts, on: account_id}
dimensions:
  region: account.region
  segment: account.segment
  industry: account.industry
  loyalty_member: account.loyalty_member
freshness: {column: updated_at}
--- */
WITH known AS (
  SELECT local_date(max(updated_at)) AS day FROM orders
)
SELECT account_id, valid_from AS begins, valid_to AS ends, 1 AS customer, 0 AS profit, updated_at
FROM customer_periods
UNION ALL
SELECT
  orders.account_id,
  orders.order_date,
  -- What ends behind the last day known has not ended yet.
  CASE WHEN period_shift(orders.order_date, 'day', {{ profit_days }}) <= max(known.day)
       THEN period_shift(orders.order_date, 'day', {{ profit_days }}) END,
  0,
  sum(order_items.net_amount - order_items.cost_amount),
  max(orders.updated_at)
FROM order_items
JOIN orders ON orders.order_id = order_items.order_id
CROSS JOIN known
WHERE orders.status = 'completed' AND orders.account_id IS NOT NULL
GROUP BY orders.account_id, orders.order_date
