/* ---
table: deal_states
description: >-
  What was said of each deal, and from when on. Here it is said anew with each visit to a stage; a CRM that keeps every new amount
  and date can tell more.
primary_key: state_id
--- */
SELECT history_id AS state_id, opportunity_id, stage, amount, probability, close_date, entered_at AS said_at
FROM opportunity_stage_history
