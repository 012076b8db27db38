-- One product is deleted.
SELECT * EXCLUDE (number) REPLACE (
  is_deleted OR number = 7 AS is_deleted
)
FROM (
  SELECT *, CAST(right(product_id, 6) AS INT) AS number
  FROM products
)
