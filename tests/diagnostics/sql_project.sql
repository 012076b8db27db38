/* ---
project: crm
--- */
SELECT 1
