-- Campaign cost of the month over the campaign leads that sales qualified in the month.
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
spent AS (
  SELECT date_trunc('month', cost_date) AS period_start, CAST(sum(amount) AS DOUBLE) AS cost FROM costs GROUP BY 1
),
qualified AS (
  SELECT date_trunc('month', CAST(sql_at AT TIME ZONE 'America/New_York' AS DATE)) AS period_start, count(*) AS leads
  FROM leads
  WHERE campaign_id IS NOT NULL AND sql_at IS NOT NULL AND NOT is_deleted AND NOT is_duplicate
  GROUP BY 1
)
SELECT period_start, coalesce(cost, 0) / leads AS value
FROM qualified LEFT JOIN spent USING (period_start)
