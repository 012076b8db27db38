/* ---
table: table_ages
description: >-
  For each table that changes on every working day, and for each day up to the last one that any of them knows, how old its
  newest record was when the day ended. Tables that may well stay as they are for weeks are not here.
time: day
freshness: {column: updated_at}
--- */
WITH changes AS (
  SELECT 'leads' AS "table", 'crm' AS source_system, updated_at FROM leads
  UNION ALL
  SELECT 'opportunities', 'crm', updated_at FROM opportunities
  UNION ALL
  SELECT 'opportunity_stage_history', 'crm', updated_at FROM opportunity_stage_history
  UNION ALL
  SELECT 'orders', 'crm', updated_at FROM orders
  UNION ALL
  SELECT 'order_items', 'crm', updated_at FROM order_items
  UNION ALL
  SELECT 'web_sessions', 'web analytics', updated_at FROM web_sessions
  UNION ALL
  SELECT 'activities', 'telephony', updated_at FROM activities
  UNION ALL
  SELECT 'cases', 'service desk', updated_at FROM cases
  UNION ALL
  SELECT 'survey_responses', 'surveys', updated_at FROM survey_responses
  UNION ALL
  SELECT 'process_runs', 'operations', updated_at FROM process_runs
),
newest AS (
  SELECT "table", source_system, local_date(updated_at) AS day, max(updated_at) AS updated_at
  FROM changes
  GROUP BY "table", source_system, local_date(updated_at)
),
days AS (
  SELECT CAST(unnest(generate_series(min(day), max(day), INTERVAL '1 day')) AS DATE) AS day FROM newest
),
tables AS (
  SELECT "table", source_system, min(day) AS first_day FROM newest GROUP BY "table", source_system
),
ages AS (
  SELECT
    tables."table",
    tables.source_system,
    days.day,
    max(newest.updated_at) OVER (
      PARTITION BY tables."table" ORDER BY days.day ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS updated_at
  FROM tables
  JOIN days ON days.day >= tables.first_day
  LEFT JOIN newest ON newest."table" = tables."table" AND newest.day = days.day
)
SELECT
  "table",
  source_system,
  day,
  period_shift(day, 'day', 1) AS next_day,
  hours_between(updated_at, instant_of(period_shift(day, 'day', 1))) AS hours,
  updated_at
FROM ages
