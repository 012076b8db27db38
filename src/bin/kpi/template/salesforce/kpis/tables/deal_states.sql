/* ---
table: deal_states
override: merge
description: All changes of deals, also those of the amount or the date alone, with the stage as the catalogue names it.
--- */
SELECT
  changes.history_id AS state_id,
  changes.opportunity_id,
  CASE WHEN stages.is_won THEN 'closed_won' WHEN stages.is_closed THEN 'closed_lost' ELSE changes.stage_name END AS stage,
  stages.stage_order,
  changes.amount,
  changes.probability,
  changes.close_date,
  changes.changed_at AS said_at,
  changes.updated_at
FROM opportunity_history_export AS changes
LEFT JOIN opportunity_stage_export AS stages ON stages.stage_name = changes.stage_name
