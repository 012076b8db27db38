/* ---
table: opportunities
override: merge
description: Won deals, from the first contact on. One was won two days before it.
--- */
SELECT
  deals.mql_id AS opportunity_id,
  deals.seller_id AS account_id,
  deals.mql_id AS lead_id,
  leads.first_contact_date AS created_at,
  local_date(deals.won_date) AS close_date,
  'closed_won' AS stage,
  true AS is_closed,
  true AS is_won,
  deals.sr_id AS owner_id,
  leads.origin AS channel,
  (SELECT max(won_date) FROM deal_file) AS updated_at
FROM deal_file AS deals
JOIN lead_file AS leads ON leads.mql_id = deals.mql_id
