/* ---
table: products
override: merge
description: Products have no names; their family is the category.
--- */
SELECT
  products.product_id,
  products.product_id AS name,
  coalesce(categories.product_category_name_english, products.product_category_name, '(none)') AS family,
  'product' AS kind
FROM product_file AS products
LEFT JOIN category_file AS categories ON categories.product_category_name = products.product_category_name
