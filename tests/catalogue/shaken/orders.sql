-- More orders are deleted, credit notes, of nobody, or brought by a campaign.
SELECT * EXCLUDE (number, inside) REPLACE (
  is_deleted OR (inside AND number % 23 = 0) AS is_deleted,
  CASE WHEN inside AND number % 37 = 0 THEN NULL ELSE account_id END AS account_id,
  CASE
    WHEN inside AND number % 10 = 0 THEN 'CMP' || lpad(CAST(1 + number % 71 AS VARCHAR), 6, '0')
    ELSE campaign_id
  END AS campaign_id,
  CASE WHEN inside AND number % 17 = 0 THEN 'credit' ELSE order_type END AS order_type,
  CASE WHEN inside AND number % 13 = 0 THEN 'cancelled' ELSE status END AS status
)
FROM (
  SELECT
    *,
    CAST(right(order_id, 6) AS INT) AS number,
    order_date >= '2023-03-05' AND order_date < '2025-11-20' AS inside
  FROM orders
)
