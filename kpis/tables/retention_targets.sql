/* ---
table: retention_targets
description: >-
  Which share of the customers, or of their revenue, shall be left at the end of a period. A longer period loses more, so
  each has its own target. It holds for all customers and for each segment.
time: starts
--- */
WITH months AS (
  SELECT CAST(unnest(generate_series(DATE '2020-01-01', DATE '2039-12-01', INTERVAL '1 month')) AS DATE) AS starts
),
segments AS (
  SELECT CAST(NULL AS VARCHAR) AS segment
  UNION ALL
  SELECT DISTINCT segment FROM accounts WHERE segment IS NOT NULL
)
SELECT months.starts, targets.grain, segments.segment, targets.value
FROM months
CROSS JOIN (VALUES ('month', 0.985), ('quarter', 0.960), ('year', 0.850)) AS targets (grain, value)
CROSS JOIN segments
WHERE targets.grain = 'month'
  OR (targets.grain = 'quarter' AND date_part('month', months.starts) IN (1, 4, 7, 10))
  OR (targets.grain = 'year' AND date_part('month', months.starts) = 1)
