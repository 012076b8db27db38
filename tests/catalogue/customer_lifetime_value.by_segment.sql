-- Lifetime value by segment: each of the three factors within it.
WITH segments AS (
  SELECT account_id, segment FROM accounts WHERE NOT is_deleted AND name NOT LIKE 'TEST %'
),
contracts AS (
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
    segment,
    sum(least(valid_to, next_start) - greatest(valid_from, next_start - INTERVAL '365 days')) AS customer_days,
    count(*) FILTER (WHERE valid_to < next_start) AS endings
  FROM quarters
  JOIN customer_times ON valid_from < next_start AND valid_to >= next_start - INTERVAL '365 days'
  LEFT JOIN segments ON segments.account_id = customer_times.account_id
  GROUP BY quarters.period_start, segment
),
lines AS (
  SELECT orders.account_id, orders.order_date, order_items.net_amount
  FROM order_items JOIN orders ON orders.order_id = order_items.order_id
  WHERE NOT order_items.is_deleted AND NOT orders.is_deleted AND orders.status = 'completed'
),
revenue AS (
  SELECT quarters.period_start, segment, CAST(sum(net_amount) AS DOUBLE) AS revenue
  FROM quarters
  JOIN lines ON order_date < next_start AND order_date >= next_start - INTERVAL '365 days'
  LEFT JOIN segments ON segments.account_id = lines.account_id
  GROUP BY quarters.period_start, segment
),
purchases AS (
  SELECT
    quarters.period_start,
    segment,
    CAST(count(*) AS DOUBLE) AS purchases,
    count(DISTINCT orders.account_id) AS purchasers
  FROM quarters
  JOIN orders ON order_date < next_start AND order_date >= next_start - INTERVAL '365 days'
  LEFT JOIN segments ON segments.account_id = orders.account_id
  WHERE status = 'completed' AND coalesce(order_type, '') <> 'credit' AND NOT is_deleted
  GROUP BY quarters.period_start, segment
)
SELECT
  revenue.period_start,
  revenue.segment,
  revenue / purchases * (purchases / nullif(purchasers, 0)) * (customer_days / 365.25 / nullif(endings, 0)) AS value
FROM revenue
JOIN purchases
  ON purchases.period_start = revenue.period_start AND purchases.segment IS NOT DISTINCT FROM revenue.segment
JOIN exposure
  ON exposure.period_start = revenue.period_start AND exposure.segment IS NOT DISTINCT FROM revenue.segment
