/* ---
table: opportunity_stage_history
override: merge
description: >-
  Each visit of a deal to a stage. Changes of the amount or the close date alone begin no visit; a visit ends with the next
  one.
--- */
WITH with_stage_before AS (
  SELECT *, lag(stage) OVER (PARTITION BY opportunity_id ORDER BY said_at, state_id) AS stage_before
  FROM deal_states
)
SELECT
  state_id AS history_id,
  opportunity_id,
  stage,
  stage_order,
  said_at AS entered_at,
  lead(said_at) OVER (PARTITION BY opportunity_id ORDER BY said_at, state_id) AS exited_at,
  amount,
  probability,
  close_date,
  updated_at
FROM with_stage_before
WHERE stage_before IS DISTINCT FROM stage
