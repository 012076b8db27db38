-- By month and stage: of the deals that entered it, once each, those that later entered a higher one; losing is none.
WITH entries AS (
  SELECT opportunity_id, stage, stage_order, CAST(entered_at AT TIME ZONE 'America/New_York' AS DATE) AS day
  FROM opportunity_stage_history
  WHERE NOT is_deleted
),
entered AS (
  SELECT date_trunc('month', day) AS period_start, stage, stage_order, opportunity_id, min(day) AS day
  FROM entries
  WHERE stage NOT IN ('closed_won', 'closed_lost')
  GROUP BY 1, 2, 3, 4
),
with_higher AS (
  SELECT entered.period_start, entered.stage, entered.opportunity_id, count(higher.opportunity_id) AS higher
  FROM entered
  LEFT JOIN entries AS higher
    ON higher.opportunity_id = entered.opportunity_id
    AND higher.stage_order > entered.stage_order
    AND higher.stage <> 'closed_lost'
    AND higher.day >= entered.day
  GROUP BY 1, 2, 3
)
SELECT period_start, stage, CAST(count(*) FILTER (WHERE higher > 0) AS DOUBLE) / count(*) AS value
FROM with_higher
GROUP BY period_start, stage
