-- More lines are deleted or without cost.
SELECT * EXCLUDE (number) REPLACE (
  is_deleted OR number % 27 = 0 AS is_deleted,
  CASE WHEN number % 19 = 0 THEN NULL ELSE cost_amount END AS cost_amount
)
FROM (
  SELECT *, CAST(right(order_item_id, 6) AS INT) AS number
  FROM order_items
)
