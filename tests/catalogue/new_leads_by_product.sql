-- Leads by month and product or service; those without one are kept, those for products of another kind are none.
WITH months AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '1 month' AS next_start
  FROM generate_series(DATE '2023-01-01', DATE '2025-12-01', INTERVAL '1 month')
),
real_leads AS (
  SELECT *, CAST(created_at AT TIME ZONE 'America/New_York' AS DATE) AS created_on
  FROM leads
  WHERE NOT is_deleted AND NOT is_duplicate
),
asked_for AS (
  SELECT date_trunc('month', created_on) AS period_start, coalesce(products.name, '(none)') AS product
  FROM real_leads
  LEFT JOIN products ON products.product_id = real_leads.product_id AND NOT products.is_deleted
  WHERE products.kind IN ('product', 'service') OR products.product_id IS NULL
),
members AS (
  SELECT DISTINCT product FROM asked_for
)
SELECT months.period_start, members.product, count(asked_for.product) AS value
FROM months
CROSS JOIN members
LEFT JOIN asked_for ON asked_for.period_start = months.period_start AND asked_for.product = members.product
GROUP BY months.period_start, members.product
