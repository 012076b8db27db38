/* ---
table: accounts
override: merge
description: Sellers that were won. The state is known of those who sold something.
--- */
SELECT
  deals.seller_id AS account_id,
  deals.seller_id AS name,
  deals.business_segment AS industry,
  deals.business_type AS segment,
  sellers.seller_state AS region,
  leads.origin AS acquisition_channel,
  deals.won_date AS created_at
FROM deal_file AS deals
JOIN lead_file AS leads ON leads.mql_id = deals.mql_id
LEFT JOIN seller_file AS sellers ON sellers.seller_id = deals.seller_id
