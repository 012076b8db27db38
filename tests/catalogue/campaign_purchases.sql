-- Purchases of the month that a campaign is credited with.
WITH months AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '1 month' AS next_start
  FROM generate_series(DATE '2023-01-01', DATE '2025-12-01', INTERVAL '1 month')
),
attributed AS (
  -- The order's own campaign, else that of its deal.
  SELECT
    orders.*,
    CASE WHEN orders.campaign_id IS NOT NULL THEN orders.campaign_id ELSE deals.campaign_id END AS credited_to
  FROM orders
  LEFT JOIN opportunities AS deals ON deals.opportunity_id = orders.opportunity_id AND NOT deals.is_deleted
  WHERE NOT orders.is_deleted AND orders.status = 'completed'
)
SELECT months.period_start, count(attributed.order_id) AS value
FROM months LEFT JOIN attributed
  ON date_trunc('month', attributed.order_date) = months.period_start
  AND attributed.credited_to IS NOT NULL
  AND coalesce(attributed.order_type, '') <> 'credit'
GROUP BY months.period_start
