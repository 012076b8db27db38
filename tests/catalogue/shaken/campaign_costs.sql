-- More costs are deleted.
SELECT * EXCLUDE (number) REPLACE (
  is_deleted OR number % 17 = 0 AS is_deleted
)
FROM (
  SELECT *, CAST(right(campaign_cost_id, 6) AS INT) AS number
  FROM campaign_costs
)
