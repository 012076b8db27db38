-- Contracts begin up to 32 days behind the one before; some end on the day on which they began, some on the first of a
-- month; some are free, deleted, or of nobody.
SELECT * EXCLUDE (number, inside, edge) REPLACE (
  is_deleted OR (inside AND number % 23 = 0) AS is_deleted,
  CASE WHEN inside AND number % 41 = 0 THEN NULL ELSE account_id END AS account_id,
  CASE WHEN number % 17 = 0 THEN 0 ELSE mrr END AS mrr,
  CASE
    WHEN inside AND (end_date IS NULL OR end_date > start_date + 40) THEN start_date + edge
    ELSE start_date
  END AS start_date,
  CASE
    WHEN inside AND number % 31 = 0 AND (end_date IS NULL OR end_date > start_date + 40) THEN start_date + edge
    WHEN inside AND number % 3 = 0 AND end_date > start_date + 100 THEN CAST(date_trunc('month', end_date) AS DATE)
    ELSE end_date
  END AS end_date
)
FROM (
  SELECT
    *,
    CASE number % 11 WHEN 1 THEN 1 WHEN 2 THEN 29 WHEN 3 THEN 30 WHEN 4 THEN 31 WHEN 5 THEN 32 ELSE 0 END AS edge
  FROM (
    SELECT
      *,
      CAST(right(subscription_id, 6) AS INT) AS number,
      start_date >= '2023-03-05' AND start_date < '2025-11-20' AS inside
    FROM subscriptions
  )
)
