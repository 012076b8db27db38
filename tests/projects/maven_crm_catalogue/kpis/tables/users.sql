/* ---
table: users
override: merge
description: Agents, whose team is the regional office, and their managers.
--- */
SELECT sales_agent AS user_id, sales_agent AS name, 'sales_rep' AS role, regional_office AS team, manager AS manager_id
FROM agents
UNION ALL
SELECT DISTINCT manager AS user_id, manager AS name, 'manager' AS role, regional_office AS team, CAST(NULL AS TEXT) AS manager_id
FROM agents
