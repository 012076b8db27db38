-- All that campaigns brought up to the end of the month less all that they cost, over what they cost.
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
brought AS (
  SELECT date_trunc('month', attributed.order_date) AS period_start, sum(order_items.net_amount) AS revenue
  FROM attributed JOIN order_items ON order_items.order_id = attributed.order_id
  WHERE attributed.credited_to IS NOT NULL AND NOT order_items.is_deleted
  GROUP BY 1
),
spent AS (
  SELECT date_trunc('month', cost_date) AS period_start, sum(amount) AS cost FROM costs GROUP BY 1
),
to_date AS (
  SELECT
    months.period_start,
    CAST(sum(coalesce(brought.revenue, 0)) OVER (ORDER BY months.period_start) AS DOUBLE) AS revenue,
    CAST(sum(coalesce(spent.cost, 0)) OVER (ORDER BY months.period_start) AS DOUBLE) AS cost
  FROM months
  LEFT JOIN brought ON brought.period_start = months.period_start
  LEFT JOIN spent ON spent.period_start = months.period_start
)
SELECT period_start, (revenue - cost) / nullif(cost, 0) AS value
FROM to_date
