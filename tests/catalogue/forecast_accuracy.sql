-- 1 less the errors of the owners, added up, over what they won. The forecast is that of the evening before the month.
WITH evenings AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) - INTERVAL '1 day' AS day
  FROM generate_series(DATE '2023-01-01', DATE '2025-12-01', INTERVAL '1 month')
),
told AS (
  -- What the stage history last said of each deal up to a day, before the close.
  SELECT day, opportunity_id, amount, probability, close_date
  FROM (
    SELECT
      evenings.day,
      history.opportunity_id,
      history.amount,
      history.probability,
      history.close_date,
      row_number() OVER (
        PARTITION BY evenings.day, history.opportunity_id ORDER BY history.entered_at DESC, history.history_id DESC
      ) AS from_the_end
    FROM evenings
    JOIN opportunity_stage_history AS history
      ON CAST(history.entered_at AT TIME ZONE 'America/New_York' AS DATE) <= evenings.day
    WHERE NOT history.is_deleted AND history.stage NOT IN ('closed_won', 'closed_lost')
  )
  WHERE from_the_end = 1
),
open_then AS (
  SELECT
    evenings.day,
    deals.opportunity_id,
    deals.owner_id,
    coalesce(told.amount, deals.amount) AS amount,
    coalesce(told.probability, deals.probability) AS probability,
    coalesce(told.close_date, deals.close_date) AS close_date
  FROM evenings
  JOIN opportunities AS deals
    ON CAST(deals.created_at AT TIME ZONE 'America/New_York' AS DATE) <= evenings.day
    AND (NOT deals.is_closed OR deals.close_date > evenings.day)
  LEFT JOIN told ON told.day = evenings.day AND told.opportunity_id = deals.opportunity_id
  WHERE NOT deals.is_deleted
),
forecasts AS (
  SELECT
    date_trunc('month', close_date) AS period_start,
    owner_id,
    CAST(sum(amount * probability) AS DOUBLE) AS forecast
  FROM open_then
  WHERE date_trunc('month', close_date) = day + INTERVAL '1 day'
  GROUP BY 1, 2
),
won AS (
  SELECT date_trunc('month', close_date) AS period_start, owner_id, CAST(sum(amount) AS DOUBLE) AS won
  FROM opportunities
  WHERE is_won AND NOT is_deleted
  GROUP BY 1, 2
),
owners AS (
  SELECT
    coalesce(forecasts.period_start, won.period_start) AS period_start,
    coalesce(forecast, 0) AS forecast,
    coalesce(won, 0) AS won
  FROM forecasts FULL JOIN won ON won.period_start = forecasts.period_start AND won.owner_id = forecasts.owner_id
)
SELECT period_start, 1 - sum(abs(forecast - won)) / nullif(sum(won), 0) AS value
FROM owners
GROUP BY period_start
