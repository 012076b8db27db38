-- Median minutes up to the first response, of the leads that came on the day and were answered.
WITH answered AS (
  SELECT
    CAST(created_at AT TIME ZONE 'America/New_York' AS DATE) AS period_start,
    (extract(epoch FROM first_response_at) - extract(epoch FROM created_at)) / 60 AS minutes
  FROM leads
  WHERE first_response_at >= created_at AND NOT is_deleted AND NOT is_duplicate
),
ranked AS (
  SELECT
    period_start,
    minutes,
    row_number() OVER (PARTITION BY period_start ORDER BY minutes) AS place,
    count(*) OVER (PARTITION BY period_start) AS answers
  FROM answered
)
-- The one in the middle, or the mean of the two.
SELECT period_start, avg(minutes) AS value
FROM ranked
WHERE 2 * place BETWEEN answers AND answers + 2
GROUP BY period_start
