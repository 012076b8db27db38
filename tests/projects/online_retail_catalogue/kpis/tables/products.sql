/* ---
table: products
override: merge
--- */
SELECT stock_code AS product_id, max(description) AS name, 'product' AS kind
FROM invoice_lines
GROUP BY stock_code
