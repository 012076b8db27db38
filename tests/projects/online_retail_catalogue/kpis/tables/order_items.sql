/* ---
table: order_items
override: merge
description: Lines that sold goods, and those of credit notes that took goods back.
--- */
SELECT
  concat(invoice, '-', CAST(row_number() OVER (PARTITION BY invoice ORDER BY stock_code, quantity, price) AS TEXT)) AS order_item_id,
  invoice AS order_id,
  stock_code AS product_id,
  quantity,
  amount AS net_amount,
  (SELECT max(sold_at) FROM invoice_lines) AS updated_at
FROM invoice_lines
WHERE regexp_like(stock_code, '^([0-9]{5}|DCGS|PADS|SP1)') AND (invoice LIKE 'C%' OR amount > 0)
