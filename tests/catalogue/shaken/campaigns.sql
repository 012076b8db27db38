-- Some campaigns are deleted.
SELECT * EXCLUDE (number) REPLACE (
  is_deleted OR number % 13 = 0 AS is_deleted
)
FROM (
  SELECT *, CAST(right(campaign_id, 6) AS INT) AS number
  FROM campaigns
)
