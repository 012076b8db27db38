/* ---
table: stage_entries
description: >-
  Each time that a deal entered an open stage, and when it first entered a later one that is not a loss. On the same day
  counts.
primary_key: history_id
time: entered_at
joins:
  opportunity: {table: opportunities, on: opportunity_id}
dimensions:
  region: opportunity.account.region
  team: opportunity.owner.team
  representative: opportunity.owner.name
freshness: {column: updated_at}
--- */
SELECT
  entry.history_id,
  entry.opportunity_id,
  entry.stage,
  entry.entered_at,
  min(later.entered_at) AS advanced_at,
  max(entry.updated_at) AS updated_at
FROM opportunity_stage_history AS entry
LEFT JOIN opportunity_stage_history AS later
  ON later.opportunity_id = entry.opportunity_id
  AND later.stage_order > entry.stage_order
  AND later.stage <> 'closed_lost'
  AND later.entered_at >= entry.entered_at
WHERE entry.stage NOT IN ('closed_won', 'closed_lost')
GROUP BY entry.history_id, entry.opportunity_id, entry.stage, entry.entered_at
