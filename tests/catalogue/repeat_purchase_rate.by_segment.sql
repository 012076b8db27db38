-- Repeat purchases by segment.
WITH months AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '1 month' AS next_start
  FROM generate_series(DATE '2023-01-01', DATE '2025-12-01', INTERVAL '1 month')
),
purchases AS (
  SELECT * FROM orders WHERE NOT is_deleted AND status = 'completed' AND coalesce(order_type, '') <> 'credit'
),
purchasers AS (
  SELECT months.period_start, purchases.account_id, count(*) AS purchases
  FROM months JOIN purchases
    ON purchases.order_date < months.next_start AND purchases.order_date >= months.next_start - INTERVAL '365 days'
  WHERE purchases.account_id IS NOT NULL
  GROUP BY months.period_start, purchases.account_id
)
SELECT
  period_start,
  accounts.segment,
  CAST(count(*) FILTER (WHERE purchases >= 2) AS DOUBLE) / count(*) AS value
FROM purchasers
LEFT JOIN accounts
  ON accounts.account_id = purchasers.account_id AND NOT accounts.is_deleted AND accounts.name NOT LIKE 'TEST %'
GROUP BY period_start, accounts.segment
