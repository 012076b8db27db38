-- Accounts with all that they did are deleted or tries, and may be named all the same; more may be named from the last
-- day of a month on, or up to it.
SELECT * EXCLUDE (number) REPLACE (
  is_deleted OR number % 29 = 0 AS is_deleted,
  CASE WHEN number % 31 = 0 THEN 'TEST ' || name ELSE name END AS name,
  CASE
    WHEN number % 29 = 0 OR number % 31 = 0 THEN DATE '2023-01-15'
    WHEN number % 3 = 0 THEN CAST(date_trunc('month', referenceable_since) AS DATE) - 1
    ELSE referenceable_since
  END AS referenceable_since,
  CASE
    WHEN number % 2 = 0 THEN CAST(date_trunc('month', referenceable_since + 200) AS DATE) - 1
    ELSE referenceable_until
  END AS referenceable_until
)
FROM (
  SELECT *, CAST(right(account_id, 6) AS INT) AS number
  FROM accounts
)
