-- Growth of each product; one that stopped selling shrinks by all that it had.
WITH months AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '1 month' AS next_start
  FROM generate_series(DATE '2023-01-01', DATE '2025-12-01', INTERVAL '1 month')
),
lines AS (
  SELECT orders.order_date, order_items.product_id, order_items.net_amount
  FROM order_items JOIN orders ON orders.order_id = order_items.order_id
  WHERE NOT order_items.is_deleted AND NOT orders.is_deleted AND orders.status = 'completed'
),
named AS (
  SELECT date_trunc('month', lines.order_date) AS period_start, products.name AS product, lines.net_amount
  FROM lines LEFT JOIN products ON products.product_id = lines.product_id AND NOT products.is_deleted
),
members AS (
  SELECT product FROM named GROUP BY product
),
revenue AS (
  SELECT months.period_start, members.product, coalesce(sum(named.net_amount), 0) AS revenue
  FROM months
  CROSS JOIN members
  LEFT JOIN named ON named.period_start = months.period_start AND named.product IS NOT DISTINCT FROM members.product
  GROUP BY months.period_start, members.product
),
with_previous AS (
  SELECT
    period_start,
    product,
    CAST(revenue AS DOUBLE) AS revenue,
    CAST(lag(revenue) OVER (PARTITION BY product ORDER BY period_start) AS DOUBLE) AS previous
  FROM revenue
)
SELECT period_start, product, CASE WHEN previous > 0 THEN revenue / previous - 1 END AS value
FROM with_previous
