/* ---
table: orders
override: merge
description: >-
  Invoices and credit notes. The first invoice of a customer is taken for new business, and so is one without a customer, of
  whom nobody knows more.
--- */
SELECT
  invoice AS order_id,
  customer_id AS account_id,
  local_date(sold_at) AS order_date,
  CASE
    WHEN is_credit THEN 'credit'
    WHEN customer_id IS NULL
      OR row_number() OVER (PARTITION BY customer_id, is_credit ORDER BY sold_at, invoice) = 1 THEN 'new_business'
    ELSE 'expansion'
  END AS order_type,
  'completed' AS status,
  'GBP' AS currency,
  (SELECT max(sold_at) FROM invoice_lines) AS updated_at
FROM invoices
