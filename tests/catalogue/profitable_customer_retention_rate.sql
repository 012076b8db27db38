-- Retention by quarter of customers who brought a profit in the twelve months before it; lines without cost are left
-- out.
WITH contracts AS (
  SELECT account_id, start_date AS begins, coalesce(end_date, DATE '2999-01-01') AS ends
  FROM subscriptions
  WHERE NOT is_deleted AND account_id IS NOT NULL AND (end_date IS NULL OR end_date > start_date)
),
quarters AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '3 months' AS next_start
  FROM generate_series(DATE '2022-01-01', DATE '2025-10-01', INTERVAL '3 months')
),
boundaries AS (
  -- The days before the first days of all of them, and the last day of the last one.
  SELECT CAST(value AS DATE) - INTERVAL '1 day' AS day
  FROM generate_series(DATE '2022-01-01', DATE '2026-01-01', INTERVAL '3 months')
),
customers AS (
  -- On a day on which no contract runs, the next one must begin at most 30 days behind the end of the last one.
  SELECT day, account_id
  FROM contracts CROSS JOIN boundaries
  GROUP BY day, account_id
  HAVING max(ends) FILTER (WHERE begins <= day) > day
    OR min(begins) FILTER (WHERE begins > day) <= max(ends) FILTER (WHERE begins <= day) + INTERVAL '30 days'
),
lines AS (
  SELECT orders.account_id, orders.order_date, order_items.net_amount, order_items.cost_amount
  FROM order_items JOIN orders ON orders.order_id = order_items.order_id
  WHERE NOT order_items.is_deleted AND NOT orders.is_deleted AND orders.status = 'completed'
),
profitable AS (
  SELECT quarters.period_start, lines.account_id
  FROM quarters
  JOIN lines ON lines.order_date < quarters.period_start
    AND lines.order_date >= quarters.period_start - INTERVAL '12 months'
  GROUP BY quarters.period_start, lines.account_id
  HAVING sum(lines.net_amount - lines.cost_amount) > 0
)
SELECT quarters.period_start, CAST(count(after.account_id) AS DOUBLE) / count(*) AS value
FROM quarters
JOIN customers AS before ON before.day = quarters.period_start - INTERVAL '1 day'
JOIN profitable ON profitable.period_start = quarters.period_start AND profitable.account_id = before.account_id
LEFT JOIN customers AS after
  ON after.day = quarters.next_start - INTERVAL '1 day' AND after.account_id = before.account_id
GROUP BY quarters.period_start
