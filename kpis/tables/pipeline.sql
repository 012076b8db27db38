/* ---
table: pipeline
description: >-
  Open deals in stretches of time with one stage, amount, probability and expected close date, as `deal_states` tells them.
  A deal without any has one stretch, with what it says today. A stretch ends where the next one begins, the last one on the
  day of closing, which no longer counts.
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
states AS (
  SELECT
    opportunity_id,
    stage,
    amount,
    probability,
    close_date,
    local_date(said_at) AS said_on,
    row_number() OVER (PARTITION BY opportunity_id ORDER BY said_at, state_id) AS number,
    lead(local_date(said_at)) OVER (PARTITION BY opportunity_id ORDER BY said_at, state_id) AS next_said_on
  FROM deal_states
  WHERE stage NOT IN ('closed_won', 'closed_lost')
)
SELECT
  deals.opportunity_id,
  deals.owner_id,
  coalesce(states.stage, deals.stage) AS stage,
  coalesce(states.amount, deals.amount) AS amount,
  coalesce(states.probability, deals.probability) AS probability,
  coalesce(states.close_date, deals.close_date) AS expected_on,
  CASE WHEN states.number > 1 THEN states.said_on ELSE deals.created_on END AS begins,
  least(states.next_said_on, deals.closed_on) AS ends,
  deals.updated_at
FROM deals
LEFT JOIN states ON states.opportunity_id = deals.opportunity_id
