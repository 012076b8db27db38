-- By month and stage: the days of the visits that ended in it, all visits of a deal together, over the deals.
WITH deals AS (
  SELECT
    date_trunc('month', CAST(exited_at AT TIME ZONE 'America/New_York' AS DATE)) AS period_start,
    stage,
    opportunity_id,
    sum(extract(epoch FROM exited_at) - extract(epoch FROM entered_at)) / 86400 AS days
  FROM opportunity_stage_history
  WHERE exited_at IS NOT NULL AND NOT is_deleted
  GROUP BY 1, 2, 3
)
SELECT period_start, stage, sum(days) / count(*) AS value
FROM deals
GROUP BY period_start, stage
