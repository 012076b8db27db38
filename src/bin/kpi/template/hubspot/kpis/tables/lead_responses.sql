/* ---
table: lead_responses
description: When a person of ours first called, wrote or sent a message to somebody after they became a lead.
primary_key: lead_id
--- */
SELECT leads.lead_id, min(activities.started_at) AS first_response_at
FROM leads
JOIN activities ON activities.contact_id = leads.lead_id
WHERE activities.direction = 'outbound' AND NOT activities.is_automated AND activities.started_at >= leads.created_at
GROUP BY leads.lead_id
