-- By day: hours from the newest change of a table up to the midnight in New York at which the day ends, of the table
-- that is oldest. Only tables that change on every working day; the catalogue leaves open which, they are those of the
-- KPI.
WITH days AS (
  SELECT
    CAST(value AS DATE) AS period_start,
    extract(epoch FROM CAST(value + INTERVAL '1 day' AS TIMESTAMP) AT TIME ZONE 'America/New_York') AS midnight
  FROM generate_series(DATE '2023-01-01', DATE '2025-12-31', INTERVAL '1 day')
),
changes AS (
  SELECT 'leads' AS name, extract(epoch FROM updated_at) AS changed FROM leads WHERE NOT is_deleted AND NOT is_duplicate
  UNION ALL
  SELECT 'opportunities', extract(epoch FROM updated_at) FROM opportunities WHERE NOT is_deleted
  UNION ALL
  SELECT 'opportunity_stage_history', extract(epoch FROM updated_at) FROM opportunity_stage_history WHERE NOT is_deleted
  UNION ALL
  SELECT 'orders', extract(epoch FROM updated_at) FROM orders WHERE NOT is_deleted
  UNION ALL
  SELECT 'order_items', extract(epoch FROM updated_at) FROM order_items WHERE NOT is_deleted
  UNION ALL
  SELECT 'web_sessions', extract(epoch FROM updated_at) FROM web_sessions WHERE NOT is_deleted
  UNION ALL
  SELECT 'activities', extract(epoch FROM updated_at) FROM activities WHERE NOT is_deleted
  UNION ALL
  SELECT 'cases', extract(epoch FROM updated_at) FROM cases WHERE NOT is_deleted
  UNION ALL
  SELECT 'survey_responses', extract(epoch FROM updated_at) FROM survey_responses WHERE NOT is_deleted
  UNION ALL
  -- No zone in the file; it is UTC.
  SELECT 'process_runs', extract(epoch FROM updated_at) FROM process_runs WHERE NOT is_deleted
),
newest AS (
  SELECT
    name,
    CAST(to_timestamp_seconds(changed) AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York' AS DATE) AS day,
    max(changed) AS changed
  FROM changes
  GROUP BY 1, 2
),
-- The newest change up to a day is the greatest of those of the days up to it.
up_to AS (
  SELECT
    days.period_start,
    days.midnight,
    max(newest.changed) OVER (PARTITION BY names.name ORDER BY days.period_start) AS changed
  FROM days
  CROSS JOIN (SELECT name FROM changes GROUP BY name) AS names
  LEFT JOIN newest ON newest.name = names.name AND newest.day = days.period_start
)
SELECT period_start, max(midnight - changed) / 3600 AS value
FROM up_to
GROUP BY period_start
