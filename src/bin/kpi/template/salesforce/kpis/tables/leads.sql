/* ---
table: leads
override: merge
description: >-
  Leads, with the first campaign that each was a member of. A converted lead is a contact, and not yet a customer; customers come
  from contracts.
columns:
  converted_at: {type: date}
  sql_at: {type: date}
  first_response_at:
joins:
  response: {table: lead_responses, on: lead_id}
dimensions:
  first_response_at: response.first_response_at
predicates:
  referral: lead_source = 'referral'
--- */
WITH first_members AS (
  SELECT lead_id, first_value(campaign_id ORDER BY added_at, campaign_member_id) AS campaign_id
  FROM campaign_members
  WHERE lead_id IS NOT NULL
  GROUP BY lead_id
)
SELECT leads.*, first_members.campaign_id
FROM lead_export AS leads
LEFT JOIN first_members ON first_members.lead_id = leads.lead_id
