-- Return of each campaign to date; one that was never billed has none.
WITH attributed AS (
  -- The order's own campaign, else that of its deal.
  SELECT orders.*, CASE WHEN orders.campaign_id IS NOT NULL THEN orders.campaign_id ELSE deals.campaign_id END AS credited_to
  FROM orders
  LEFT JOIN opportunities AS deals ON deals.opportunity_id = orders.opportunity_id AND NOT deals.is_deleted
  WHERE NOT orders.is_deleted AND orders.status = 'completed'
),
costs AS (
  -- Another tool wrote these: days as 31/12/2025, and `-` where the amount is missing.
  SELECT
    campaign_id,
    cost_type,
    to_date(cost_date, '%d/%m/%Y') AS cost_date,
    CAST(nullif(amount, '-') AS DECIMAL(18, 2)) AS amount
  FROM campaign_costs
  WHERE NOT is_deleted
),
months AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '1 month' AS next_start
  FROM generate_series(DATE '2023-01-01', DATE '2025-12-01', INTERVAL '1 month')
),
brought AS (
  SELECT credited_to AS campaign_id, date_trunc('month', attributed.order_date) AS period_start, sum(net_amount) AS revenue
  FROM attributed JOIN order_items ON order_items.order_id = attributed.order_id
  WHERE attributed.credited_to IS NOT NULL AND NOT order_items.is_deleted
  GROUP BY 1, 2
),
spent AS (
  SELECT campaign_id, date_trunc('month', cost_date) AS period_start, sum(amount) AS cost FROM costs GROUP BY 1, 2
),
to_date AS (
  SELECT
    months.period_start,
    campaigns.name,
    CAST(sum(brought.revenue) OVER up_to_then AS DOUBLE) AS revenue,
    -- NULL until the first cost, and for ever where there is none.
    CAST(sum(spent.cost) OVER up_to_then AS DOUBLE) AS cost
  FROM months
  CROSS JOIN campaigns
  LEFT JOIN brought ON brought.period_start = months.period_start AND brought.campaign_id = campaigns.campaign_id
  LEFT JOIN spent ON spent.period_start = months.period_start AND spent.campaign_id = campaigns.campaign_id
  WHERE NOT campaigns.is_deleted
  WINDOW up_to_then AS (PARTITION BY campaigns.campaign_id ORDER BY months.period_start)
)
SELECT period_start, name AS campaign, (coalesce(revenue, 0) - cost) / nullif(cost, 0) AS value
FROM to_date
