/* ---
table: opportunity_stage_history
override: merge
description: >-
  Each visit of a deal to a stage, up to the next one. Saving the same stage again begins no visit. The history has no amounts.
--- */
WITH changes AS (
  SELECT
    history.deal_id,
    CASE WHEN stages.is_won THEN 'closed_won' WHEN stages.is_closed THEN 'closed_lost'
         ELSE coalesce(stages.label, history.stage_id) END AS stage,
    stages.stage_order,
    history.changed_at,
    deals.updated_at
  FROM deal_stage_history_export AS history
  JOIN deal_export AS deals ON deals.deal_id = history.deal_id
  LEFT JOIN deal_stages AS stages ON stages.stage_id = history.stage_id
),
with_stage_before AS (
  SELECT *, lag(stage) OVER (PARTITION BY deal_id ORDER BY changed_at) AS stage_before
  FROM changes
),
visits AS (
  SELECT
    *,
    row_number() OVER (PARTITION BY deal_id ORDER BY changed_at) AS number,
    lead(changed_at) OVER (PARTITION BY deal_id ORDER BY changed_at) AS next_changed_at
  FROM with_stage_before
  WHERE stage_before IS DISTINCT FROM stage
)
SELECT
  concat(deal_id, '-', CAST(number AS TEXT)) AS history_id,
  deal_id AS opportunity_id,
  stage,
  stage_order,
  changed_at AS entered_at,
  next_changed_at AS exited_at,
  CAST(NULL AS DOUBLE) AS amount,
  CAST(NULL AS DOUBLE) AS probability,
  CAST(NULL AS DATE) AS close_date,
  updated_at
FROM visits
