/* ---
table: customer_deciles
description: >-
  For each month the tenth of the customers that an account belongs to, by the gross profit of the `profit_days` days before
  the month: 1 is the tenth that brought most. Who ordered nothing in that time has no row. It is a history, so that an
  order is put into the tenth of its own month.
time: valid_from
--- */
WITH profits AS (
  SELECT
    orders.account_id,
    orders.order_date,
    sum(order_items.net_amount - order_items.cost_amount) AS profit
  FROM order_items
  JOIN orders ON orders.order_id = order_items.order_id
  WHERE orders.status = 'completed' AND orders.account_id IS NOT NULL
  GROUP BY orders.account_id, orders.order_date
),
months AS (
  SELECT CAST(unnest(generate_series(period_start(min(order_date), 'month'), max(order_date), INTERVAL '1 month')) AS DATE)
    AS valid_from
  FROM profits
),
profits_before AS (
  SELECT months.valid_from, profits.account_id, sum(profits.profit) AS profit
  FROM months
  JOIN profits
    ON profits.order_date < months.valid_from
    AND profits.order_date >= period_shift(months.valid_from, 'day', -{{ profit_days }})
  GROUP BY months.valid_from, profits.account_id
)
SELECT
  account_id,
  valid_from,
  period_shift(valid_from, 'month', 1) AS valid_to,
  profit,
  CAST(ntile(10) OVER (PARTITION BY valid_from ORDER BY profit DESC NULLS LAST, account_id) AS INTEGER) AS decile
FROM profits_before
