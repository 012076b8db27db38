/* ---
table: case_responses
description: When a person of ours first wrote or called about a case. Automatic answers are none.
primary_key: case_id
--- */
SELECT case_id, min(started_at) AS first_response_at
FROM activities
WHERE case_id IS NOT NULL AND direction = 'outbound' AND NOT is_automated
GROUP BY case_id
