-- Calls that the deals closed in the month had up to the close, over these deals, with those that had none.
WITH closed AS (
  SELECT opportunity_id, close_date FROM opportunities WHERE is_closed AND NOT is_deleted
),
calls AS (
  SELECT opportunity_id, CAST(started_at AT TIME ZONE 'America/New_York' AS DATE) AS day
  FROM activities
  WHERE activity_type = 'call' AND opportunity_id IS NOT NULL AND NOT is_deleted
)
SELECT
  date_trunc('month', closed.close_date) AS period_start,
  CAST(count(calls.day) AS DOUBLE) / count(DISTINCT closed.opportunity_id) AS value
FROM closed LEFT JOIN calls ON calls.opportunity_id = closed.opportunity_id AND calls.day <= closed.close_date
GROUP BY 1
