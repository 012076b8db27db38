-- Some people are deleted.
SELECT * EXCLUDE (number) REPLACE (
  is_deleted OR number % 17 = 0 AS is_deleted
)
FROM (
  SELECT *, CAST(right(user_id, 6) AS INT) AS number
  FROM users
)
