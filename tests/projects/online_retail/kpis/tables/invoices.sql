/* ---
table: invoices
description: One row for each invoice that sold goods. A few invoices carry two times; the first one counts.
primary_key: invoice
time: sold_at
--- */
SELECT invoice, min(sold_at) AS sold_at, min(customer_id) AS customer_id, min(country) AS country, sum(amount) AS amount
FROM invoice_lines
WHERE regexp_like(stock_code, '^([0-9]{5}|DCGS|PADS|SP1)') AND invoice NOT LIKE 'C%' AND amount > 0
GROUP BY invoice
