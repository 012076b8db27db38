-- Cost per lead by channel of the campaign; costs in a month without leads have no value.
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
  SELECT date_trunc('month', cost_date) AS period_start, channel, CAST(sum(amount) AS DOUBLE) AS cost
  FROM costs LEFT JOIN campaigns ON campaigns.campaign_id = costs.campaign_id AND NOT campaigns.is_deleted
  GROUP BY 1, 2
),
came AS (
  SELECT date_trunc('month', created_on) AS period_start, channel, count(*) AS leads
  FROM real_leads
  LEFT JOIN campaigns ON campaigns.campaign_id = real_leads.campaign_id AND NOT campaigns.is_deleted
  WHERE real_leads.campaign_id IS NOT NULL
  GROUP BY 1, 2
)
SELECT came.period_start, came.channel AS campaign_channel, coalesce(cost, 0) / leads AS value
FROM came
LEFT JOIN spent ON spent.period_start = came.period_start AND spent.channel IS NOT DISTINCT FROM came.channel
