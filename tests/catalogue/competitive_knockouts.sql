-- Deals of the quarter won against a named competitor.
WITH quarters AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '3 months' AS next_start
  FROM generate_series(DATE '2023-01-01', DATE '2025-10-01', INTERVAL '3 months')
)
SELECT quarters.period_start, count(won.opportunity_id) AS value
FROM quarters
LEFT JOIN (
  SELECT opportunity_id, close_date FROM opportunities
  WHERE is_closed AND is_won AND primary_competitor IS NOT NULL AND NOT is_deleted
) AS won ON date_trunc('quarter', won.close_date) = quarters.period_start
GROUP BY quarters.period_start
