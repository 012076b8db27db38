-- What sales and marketing cost in the quarter, over the accounts that became customers in it for the first time.
WITH contracts AS (
  SELECT account_id, start_date AS begins, coalesce(end_date, DATE '2999-01-01') AS ends
  FROM subscriptions
  WHERE NOT is_deleted AND account_id IS NOT NULL AND (end_date IS NULL OR end_date > start_date)
),
first_days AS (
  SELECT account_id, min(begins) AS first_day FROM contracts GROUP BY account_id
),
won AS (
  SELECT date_trunc('quarter', first_day) AS period_start, count(*) AS customers FROM first_days GROUP BY 1
),
spent AS (
  SELECT date_trunc('quarter', period_end) AS period_start, sum(movement_amount) AS cost
  FROM gl_balances
  WHERE gl_class IN ('sales_expense', 'marketing_expense') AND NOT is_deleted
  GROUP BY 1
)
SELECT period_start, cost / customers AS value
FROM spent JOIN won USING (period_start)
