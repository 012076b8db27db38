/* ---
table: opportunities
override: merge
description: Deals of the pipelines that sell.
tests:
  - {name: what is won is closed, condition: is_closed OR NOT is_won}
--- */
SELECT
  deals.deal_id AS opportunity_id,
  deals.company_id AS account_id,
  CASE deals.kind WHEN 'newbusiness' THEN 'new_business' WHEN 'existingbusiness' THEN 'expansion' ELSE deals.kind END AS type,
  deals.created_at,
  local_date(deals.closes_at) AS close_date,
  CASE WHEN deals.is_won THEN 'closed_won' WHEN deals.is_closed THEN 'closed_lost' ELSE coalesce(stages.label, deals.stage_id) END
    AS stage,
  deals.is_closed,
  deals.is_won,
  deals.amount,
  deals.probability,
  deals.forecast_category,
  deals.owner_id,
  lower(deals.source) AS channel,
  deals.campaign_id,
  deals.loss_reason,
  deals.updated_at
FROM deal_export AS deals
LEFT JOIN deal_stages AS stages ON stages.stage_id = deals.stage_id
