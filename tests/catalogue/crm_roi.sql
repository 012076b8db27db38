-- Gross profit of the quarter's orders, less the declared gross profit of a month without the CRM (640,000, a setting
-- of the project) for each month in which the ledger says what the CRM cost, less that cost, over it. Lines without
-- cost are left out of the profit.
WITH profits AS (
  SELECT
    date_trunc('quarter', orders.order_date) AS period_start,
    CAST(sum(order_items.net_amount - order_items.cost_amount) AS DOUBLE) AS profit
  FROM orders JOIN order_items ON order_items.order_id = orders.order_id
  WHERE orders.status = 'completed' AND NOT orders.is_deleted AND NOT order_items.is_deleted
  GROUP BY 1
),
costs AS (
  SELECT
    date_trunc('quarter', period_end) AS period_start,
    sum(movement_amount) AS cost,
    count(DISTINCT period_end) AS months
  FROM gl_balances
  WHERE cost_center = 'crm' AND NOT is_deleted
  GROUP BY 1
)
SELECT costs.period_start, (profit - months * 640000 - cost) / nullif(cost, 0) AS value
FROM costs JOIN profits ON profits.period_start = costs.period_start
