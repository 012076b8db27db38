/* ---
table: accounts
override: merge
description: Persons. Of those who ordered to two states the first one in the alphabet counts.
--- */
SELECT
  customer_unique_id AS account_id,
  customer_unique_id AS name,
  CAST(NULL AS TEXT) AS segment,
  min(customer_state) AS region
FROM customer_file
GROUP BY customer_unique_id
