-- The forecast of the month as of its last day: what was won in it, and amount times probability of the deals that are
-- open that day and should have been closed in the month. Amount, probability and date are those of that day.
WITH month_ends AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '1 month' - INTERVAL '1 day' AS day
  FROM generate_series(DATE '2023-01-01', DATE '2025-12-01', INTERVAL '1 month')
),
told AS (
  -- What the stage history last said of each deal up to a day, before the close.
  SELECT day, opportunity_id, amount, probability, close_date
  FROM (
    SELECT
      month_ends.day,
      history.opportunity_id,
      history.amount,
      history.probability,
      history.close_date,
      row_number() OVER (
        PARTITION BY month_ends.day, history.opportunity_id ORDER BY history.entered_at DESC, history.history_id DESC
      ) AS from_the_end
    FROM month_ends
    JOIN opportunity_stage_history AS history
      ON CAST(history.entered_at AT TIME ZONE 'America/New_York' AS DATE) <= month_ends.day
    WHERE NOT history.is_deleted AND history.stage NOT IN ('closed_won', 'closed_lost')
  )
  WHERE from_the_end = 1
),
open_then AS (
  SELECT
    month_ends.day,
    deals.opportunity_id,
    deals.owner_id,
    coalesce(told.amount, deals.amount) AS amount,
    coalesce(told.probability, deals.probability) AS probability,
    coalesce(told.close_date, deals.close_date) AS close_date
  FROM month_ends
  JOIN opportunities AS deals
    ON CAST(deals.created_at AT TIME ZONE 'America/New_York' AS DATE) <= month_ends.day
    AND (NOT deals.is_closed OR deals.close_date > month_ends.day)
  LEFT JOIN told ON told.day = month_ends.day AND told.opportunity_id = deals.opportunity_id
  WHERE NOT deals.is_deleted
),
won AS (
  SELECT date_trunc('month', close_date) AS period_start, sum(amount) AS amount
  FROM opportunities
  WHERE is_won AND NOT is_deleted
  GROUP BY 1
),
expected AS (
  SELECT date_trunc('month', close_date) AS period_start, sum(amount * probability) AS amount
  FROM open_then
  WHERE date_trunc('month', close_date) = date_trunc('month', day)
  GROUP BY 1
)
SELECT
  month_ends.period_start,
  CAST(coalesce(won.amount, 0) AS DOUBLE) + CAST(coalesce(expected.amount, 0) AS DOUBLE) AS value
FROM month_ends
LEFT JOIN won ON won.period_start = month_ends.period_start
LEFT JOIN expected ON expected.period_start = month_ends.period_start
