-- Campaign cost of the month over the leads of the month that a campaign brought.
WITH costs AS (
  -- Another tool wrote these: days as 31/12/2025, and `-` where the amount is missing.
  SELECT
    campaign_id,
    cost_type,
    to_date(cost_date, '%d/%m/%Y') AS cost_date,
    CAST(nullif(amount, '-') AS DECIMAL(18, 2)) AS amount
  FROM campaign_costs
  WHERE NOT is_deleted
),
real_leads AS (
  SELECT *, CAST(created_at AT TIME ZONE 'America/New_York' AS DATE) AS created_on
  FROM leads
  WHERE NOT is_deleted AND NOT is_duplicate
),
spent AS (
  SELECT date_trunc('month', cost_date) AS period_start, CAST(sum(amount) AS DOUBLE) AS cost FROM costs GROUP BY 1
),
came AS (
  SELECT date_trunc('month', created_on) AS period_start, count(*) AS leads
  FROM real_leads
  WHERE campaign_id IS NOT NULL
  GROUP BY 1
)
SELECT period_start, coalesce(cost, 0) / leads AS value
FROM came LEFT JOIN spent USING (period_start)
