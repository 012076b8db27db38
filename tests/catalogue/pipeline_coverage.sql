-- By week: the open deals that should close in the month that the last day of the week lies in, over what is still to
-- be won of the quotas of that month. Once they are won there is no value. The deals are those of owners with a quota.
WITH week_ends AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + 6 AS day
  FROM generate_series(DATE '2022-12-26', DATE '2025-12-22', INTERVAL '7 days')
),
told AS (
  -- What the stage history last said of each deal up to a day, before the close.
  SELECT day, opportunity_id, amount, probability, close_date
  FROM (
    SELECT
      week_ends.day,
      history.opportunity_id,
      history.amount,
      history.probability,
      history.close_date,
      row_number() OVER (
        PARTITION BY week_ends.day, history.opportunity_id ORDER BY history.entered_at DESC, history.history_id DESC
      ) AS from_the_end
    FROM week_ends
    JOIN opportunity_stage_history AS history
      ON CAST(history.entered_at AT TIME ZONE 'America/New_York' AS DATE) <= week_ends.day
    WHERE NOT history.is_deleted AND history.stage NOT IN ('closed_won', 'closed_lost')
  )
  WHERE from_the_end = 1
),
open_then AS (
  SELECT
    week_ends.day,
    deals.opportunity_id,
    deals.owner_id,
    coalesce(told.amount, deals.amount) AS amount,
    coalesce(told.probability, deals.probability) AS probability,
    coalesce(told.close_date, deals.close_date) AS close_date
  FROM week_ends
  JOIN opportunities AS deals
    ON CAST(deals.created_at AT TIME ZONE 'America/New_York' AS DATE) <= week_ends.day
    AND (NOT deals.is_closed OR deals.close_date > week_ends.day)
  LEFT JOIN told ON told.day = week_ends.day AND told.opportunity_id = deals.opportunity_id
  WHERE NOT deals.is_deleted
),
goals AS (
  SELECT
    week_ends.period_start,
    week_ends.day,
    quotas.user_id,
    quotas.period_start AS first_day,
    quotas.period_end,
    quotas.quota_amount
  FROM week_ends JOIN quotas ON quotas.period_start <= week_ends.day AND quotas.period_end > week_ends.day
  WHERE NOT quotas.is_deleted
),
remaining AS (
  SELECT goals.period_start, goals.user_id, goals.quota_amount, coalesce(sum(won.amount), 0) AS won
  FROM goals
  LEFT JOIN opportunities AS won
    ON won.owner_id = goals.user_id
    AND won.is_won
    AND won.close_date >= goals.first_day
    AND won.close_date <= goals.day
    AND NOT won.is_deleted
  GROUP BY goals.period_start, goals.user_id, goals.first_day, goals.quota_amount
),
still_to_win AS (
  SELECT period_start, sum(quota_amount) - CAST(sum(won) AS DOUBLE) AS amount FROM remaining GROUP BY period_start
),
may_close AS (
  SELECT goals.period_start, CAST(sum(open_then.amount) AS DOUBLE) AS amount
  FROM goals
  JOIN open_then
    ON open_then.day = goals.day
    AND open_then.owner_id = goals.user_id
    AND open_then.close_date >= goals.first_day
    AND open_then.close_date < goals.period_end
  GROUP BY goals.period_start
)
SELECT
  still_to_win.period_start,
  CASE WHEN still_to_win.amount > 0 THEN coalesce(may_close.amount, 0) / still_to_win.amount END AS value
FROM still_to_win LEFT JOIN may_close ON may_close.period_start = still_to_win.period_start
