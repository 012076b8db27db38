-- Return of each campaign to date; one that was never billed has none.
WITH attributed AS (
  -- The order's own campaign, else that of its deal.
  SELECT
    orders.*,
    CASE WHEN orders.campaign_id IS NOT NULL THEN orders.campaign_id ELSE deals.campaign_id END AS credited_to
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
amounts AS (
  SELECT
    attributed.credited_to AS campaign_id,
    date_trunc('month', attributed.order_date) AS month,
    order_items.net_amount AS revenue,
    CAST(NULL AS DECIMAL(18, 2)) AS cost
  FROM attributed JOIN order_items ON order_items.order_id = attributed.order_id
  WHERE attributed.credited_to IS NOT NULL AND NOT order_items.is_deleted
  UNION ALL
  SELECT campaign_id, date_trunc('month', cost_date), NULL, amount FROM costs
),
by_month AS (
  -- Campaigns that were deleted are one without a name.
  SELECT campaigns.name, amounts.month, sum(amounts.revenue) AS revenue, sum(amounts.cost) AS cost
  FROM amounts LEFT JOIN campaigns ON campaigns.campaign_id = amounts.campaign_id AND NOT campaigns.is_deleted
  GROUP BY campaigns.name, amounts.month
)
SELECT
  months.period_start,
  by_month.name AS campaign,
  CAST(coalesce(sum(by_month.revenue), 0) - sum(by_month.cost) AS DOUBLE) / CAST(sum(by_month.cost) AS DOUBLE) AS value
FROM months JOIN by_month ON by_month.month <= months.period_start
GROUP BY months.period_start, by_month.name
