-- What campaigns cost in the month.
WITH months AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '1 month' AS next_start
  FROM generate_series(DATE '2023-01-01', DATE '2025-12-01', INTERVAL '1 month')
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
)
SELECT months.period_start, coalesce(sum(costs.amount), 0) AS value
FROM months LEFT JOIN costs ON date_trunc('month', costs.cost_date) = months.period_start
GROUP BY months.period_start
