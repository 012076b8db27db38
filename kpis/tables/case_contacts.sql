/* ---
table: case_contacts
description: How often customers turned to us about a case, by any channel.
primary_key: case_id
--- */
SELECT case_id, count(*) AS inbound_contacts
FROM activities
WHERE case_id IS NOT NULL AND direction = 'inbound'
GROUP BY case_id
