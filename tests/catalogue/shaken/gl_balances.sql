-- Some rows of the ledger are deleted, so that months lack a class.
SELECT * EXCLUDE (number) REPLACE (
  is_deleted OR number % 53 = 0 AS is_deleted
)
FROM (
  SELECT *, CAST(right(gl_id, 6) AS INT) AS number
  FROM gl_balances
)
