-- Monthly revenue that runs, by product, with months without any.
WITH products_sold AS (
  SELECT subscriptions.*, products.name AS product
  FROM subscriptions LEFT JOIN products ON products.product_id = subscriptions.product_id AND NOT products.is_deleted
  WHERE NOT subscriptions.is_deleted
),
members AS (
  SELECT product FROM products_sold GROUP BY product
),
months AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '1 month' AS next_start
  FROM generate_series(DATE '2022-01-01', DATE '2025-12-01', INTERVAL '1 month')
)
SELECT months.period_start, members.product, coalesce(sum(running.mrr), 0) AS value
FROM months
CROSS JOIN members
LEFT JOIN products_sold AS running
  ON running.start_date < months.next_start
  AND coalesce(running.end_date, DATE '2999-01-01') >= months.next_start
  AND running.product IS NOT DISTINCT FROM members.product
GROUP BY months.period_start, members.product
