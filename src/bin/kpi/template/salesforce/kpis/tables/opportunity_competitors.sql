/* ---
table: opportunity_competitors
description: One competitor for each deal, the one that was written down first, so that no deal counts twice.
primary_key: opportunity_id
--- */
SELECT opportunity_id, first_value(name ORDER BY competitor_id) AS name
FROM competitor_export
WHERE name IS NOT NULL
GROUP BY opportunity_id
