-- Lifetime value on margin (365 days up to the end of the quarter) over the acquisition cost of the quarter.
WITH contracts AS (
  SELECT account_id, start_date AS begins, coalesce(end_date, DATE '2999-01-01') AS ends
  FROM subscriptions
  WHERE NOT is_deleted AND account_id IS NOT NULL AND (end_date IS NULL OR end_date > start_date)
),
beginnings AS (
  SELECT account_id, begins, row_number() OVER (PARTITION BY account_id ORDER BY begins) AS number
  FROM (
    SELECT DISTINCT account_id, begins
    FROM contracts AS this
    WHERE NOT EXISTS (
      SELECT 1 FROM contracts AS other
      WHERE other.account_id = this.account_id
        AND other.begins < this.begins
        AND other.ends + INTERVAL '30 days' >= this.begins
    )
  )
),
endings AS (
  SELECT account_id, ends, row_number() OVER (PARTITION BY account_id ORDER BY ends) AS number
  FROM (
    SELECT DISTINCT account_id, ends
    FROM contracts AS this
    WHERE NOT EXISTS (
      SELECT 1 FROM contracts AS other
      WHERE other.account_id = this.account_id
        AND other.ends > this.ends
        AND other.begins <= this.ends + INTERVAL '30 days'
    )
  )
),
-- The first beginning of an account belongs to its first ending, and so on.
customer_times AS (
  SELECT account_id, begins AS valid_from, ends AS valid_to FROM beginnings JOIN endings USING (account_id, number)
),
quarters AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '3 months' AS next_start
  FROM generate_series(DATE '2022-01-01', DATE '2025-10-01', INTERVAL '3 months')
),
exposure AS (
  SELECT
    quarters.period_start,
    sum(least(valid_to, next_start) - greatest(valid_from, next_start - INTERVAL '365 days')) AS customer_days,
    count(*) FILTER (WHERE valid_to < next_start) AS endings
  FROM quarters
  JOIN customer_times ON valid_from < next_start AND valid_to >= next_start - INTERVAL '365 days'
  GROUP BY quarters.period_start
),
profits AS (
  SELECT quarters.period_start, CAST(sum(order_items.net_amount - order_items.cost_amount) AS DOUBLE) AS profit
  FROM quarters
  JOIN orders ON orders.order_date < next_start AND orders.order_date >= next_start - INTERVAL '365 days'
  JOIN order_items ON order_items.order_id = orders.order_id
  WHERE orders.status = 'completed' AND NOT orders.is_deleted AND NOT order_items.is_deleted
  GROUP BY quarters.period_start
),
purchasers AS (
  SELECT quarters.period_start, count(DISTINCT account_id) AS purchasers
  FROM quarters JOIN orders ON order_date < next_start AND order_date >= next_start - INTERVAL '365 days'
  WHERE status = 'completed' AND coalesce(order_type, '') <> 'credit' AND NOT is_deleted
  GROUP BY quarters.period_start
),
won AS (
  SELECT date_trunc('quarter', first_day) AS period_start, count(*) AS customers
  FROM (SELECT account_id, min(begins) AS first_day FROM contracts GROUP BY account_id)
  GROUP BY 1
),
spent AS (
  SELECT date_trunc('quarter', period_end) AS period_start, sum(movement_amount) AS cost
  FROM gl_balances
  WHERE gl_class IN ('sales_expense', 'marketing_expense') AND NOT is_deleted
  GROUP BY 1
)
SELECT
  profits.period_start,
  -- Revenue and purchases cancel out: profit per purchaser and year, times years.
  profit / nullif(purchasers, 0) * (customer_days / 365.25 / nullif(endings, 0)) / (cost / customers) AS value
FROM profits
JOIN purchasers ON purchasers.period_start = profits.period_start
JOIN exposure ON exposure.period_start = profits.period_start
JOIN won ON won.period_start = profits.period_start
JOIN spent ON spent.period_start = profits.period_start
