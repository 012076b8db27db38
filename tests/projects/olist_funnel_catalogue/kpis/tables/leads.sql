/* ---
table: leads
override: merge
--- */
SELECT
  leads.mql_id AS lead_id,
  leads.first_contact_date AS created_at,
  leads.origin AS lead_source,
  deals.sdr_id AS owner_id,
  deals.won_date AS converted_at,
  deals.seller_id AS converted_account_id,
  deals.mql_id AS converted_opportunity_id,
  (SELECT max(won_date) FROM deal_file) AS updated_at
FROM lead_file AS leads
LEFT JOIN deal_file AS deals ON deals.mql_id = leads.mql_id
