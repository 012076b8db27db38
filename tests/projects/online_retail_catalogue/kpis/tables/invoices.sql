/* ---
table: invoices
description: Invoices that sold goods, and credit notes that took goods back. A few carry two times; the first one counts.
primary_key: invoice
time: sold_at
freshness: {column: sold_at}
--- */
SELECT
  invoice,
  min(sold_at) AS sold_at,
  min(customer_id) AS customer_id,
  invoice LIKE 'C%' AS is_credit
FROM invoice_lines
WHERE regexp_like(stock_code, '^([0-9]{5}|DCGS|PADS|SP1)') AND (invoice LIKE 'C%' OR amount > 0)
GROUP BY invoice
