/* ---
table: lead_responses
description: >-
  When a person of ours first called or wrote to a lead. What happened before a conversion hangs on the contact afterwards, so
  it is looked for under both names.
primary_key: lead_id
--- */
WITH answers AS (
  SELECT lead_id, contact_id, started_at
  FROM activities
  WHERE direction = 'outbound' AND NOT is_automated
),
answered AS (
  SELECT leads.lead_id, leads.created_at, answers.started_at
  FROM leads JOIN answers ON answers.lead_id = leads.lead_id
  UNION ALL
  SELECT leads.lead_id, leads.created_at, answers.started_at
  FROM leads JOIN answers ON answers.contact_id = leads.converted_contact_id
)
SELECT lead_id, min(started_at) AS first_response_at
FROM answered
WHERE started_at >= created_at
GROUP BY lead_id
