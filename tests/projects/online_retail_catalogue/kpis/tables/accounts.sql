/* ---
table: accounts
override: merge
description: Customers with a number. Of those with two countries the first one in the alphabet counts.
--- */
SELECT
  customer_id AS account_id,
  customer_id AS name,
  min(country) AS region,
  CASE WHEN min(country) = 'United Kingdom' THEN 'home' ELSE 'abroad' END AS segment,
  min(sold_at) AS created_at
FROM invoice_lines
WHERE customer_id IS NOT NULL
GROUP BY customer_id
