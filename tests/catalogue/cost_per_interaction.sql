-- Campaign cost of the month over the sessions and the inbound activities that a campaign brought.
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
interactions AS (
  SELECT CAST(started_at AT TIME ZONE 'America/New_York' AS DATE) AS day
  FROM web_sessions
  WHERE campaign_id IS NOT NULL AND NOT is_deleted
  UNION ALL
  SELECT CAST(started_at AT TIME ZONE 'America/New_York' AS DATE) FROM activities
  WHERE campaign_id IS NOT NULL AND direction = 'inbound' AND NOT is_deleted
),
counted AS (
  SELECT date_trunc('month', day) AS period_start, count(*) AS interactions FROM interactions GROUP BY 1
),
spent AS (
  SELECT date_trunc('month', cost_date) AS period_start, CAST(sum(amount) AS DOUBLE) AS cost FROM costs GROUP BY 1
)
SELECT period_start, coalesce(cost, 0) / interactions AS value
FROM counted LEFT JOIN spent USING (period_start)
