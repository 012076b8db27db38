-- Deals open at the end of the week whose close date, as it was then, was not behind that day.
-- From the week on in which the first deal is expected to close.
WITH weeks AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '7 days' AS next_start
  FROM generate_series(DATE '2023-01-02', DATE '2025-12-22', INTERVAL '7 days')
),
open_then AS (
  SELECT weeks.period_start, weeks.next_start - INTERVAL '1 day' AS day, opportunities.*
  FROM weeks JOIN opportunities
    ON CAST(opportunities.created_at AT TIME ZONE 'America/New_York' AS DATE) < weeks.next_start
    AND (NOT opportunities.is_closed OR opportunities.close_date >= weeks.next_start)
  WHERE NOT opportunities.is_deleted
),
told AS (
  -- The last word of the stage history up to that day, of stages before the close.
  SELECT period_start, opportunity_id, amount, close_date
  FROM (
    SELECT
      open_then.period_start,
      history.opportunity_id,
      history.amount,
      history.close_date,
      row_number() OVER (
        PARTITION BY open_then.period_start, history.opportunity_id
        ORDER BY history.entered_at DESC, history.history_id DESC
      ) AS from_the_end
    FROM open_then
    JOIN opportunity_stage_history AS history
      ON history.opportunity_id = open_then.opportunity_id
      AND CAST(history.entered_at AT TIME ZONE 'America/New_York' AS DATE) <= open_then.day
    WHERE NOT history.is_deleted AND history.stage NOT IN ('closed_won', 'closed_lost')
  )
  WHERE from_the_end = 1
)
SELECT
  weeks.period_start,
  count(open_then.opportunity_id) FILTER (
    WHERE coalesce(told.close_date, open_then.close_date) <= open_then.day
  ) AS value
FROM weeks
LEFT JOIN open_then ON open_then.period_start = weeks.period_start
LEFT JOIN told ON told.period_start = open_then.period_start AND told.opportunity_id = open_then.opportunity_id
GROUP BY weeks.period_start
