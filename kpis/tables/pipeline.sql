/* ---
table: pipeline
description: >-
  Open deals in stretches of time with one stage, amount, probability and expected close date, as the stage history tells
  them. A deal without history has one stretch, with what it says today. A stretch ends where the next one begins, the last
  one on the day of closing, which no longer counts.
time: begins
joins:
  opportunity: {table: opportunities, on: opportunity_id}
dimensions:
  region: opportunity.account.region
  segment: opportunity.account.segment
  team: opportunity.owner.team
  representative: opportunity.owner.name
  channel: opportunity.channel
  deal_type: opportunity.type
  forecast_category: opportunity.forecast_category
freshness: {column: updated_at}
--- */
WITH deals AS (
  SELECT
    opportunity_id,
    owner_id,
    local_date(created_at) AS created_on,
    CASE WHEN is_closed THEN close_date END AS closed_on,
    stage,
    amount,
    probability,
    close_date,
    updated_at
  FROM opportunities
),
visits AS (
  SELECT
    opportunity_id,
    stage,
    amount,
    probability,
    close_date,
    local_date(entered_at) AS entered_on,
    row_number() OVER (PARTITION BY opportunity_id ORDER BY entered_at, history_id) AS number,
    lead(local_date(entered_at)) OVER (
      PARTITION BY opportunity_id ORDER BY entered_at, history_id
    ) AS next_entered_on
  FROM opportunity_stage_history
  WHERE stage NOT IN ('closed_won', 'closed_lost')
)
SELECT
  deals.opportunity_id,
  deals.owner_id,
  coalesce(visits.stage, deals.stage) AS stage,
  coalesce(visits.amount, deals.amount) AS amount,
  coalesce(visits.probability, deals.probability) AS probability,
  coalesce(visits.close_date, deals.close_date) AS expected_on,
  CASE WHEN visits.number > 1 THEN visits.entered_on ELSE deals.created_on END AS begins,
  least(visits.next_entered_on, deals.closed_on) AS ends,
  deals.updated_at
FROM deals
LEFT JOIN visits ON visits.opportunity_id = deals.opportunity_id
