/* ---
table: stage_targets
description: How many days a deal may spend in each stage, at every grain.
time: starts
--- */
WITH months AS (
  SELECT CAST(unnest(generate_series(DATE '2020-01-01', DATE '2039-12-01', INTERVAL '1 month')) AS DATE) AS starts
),
grains AS (
  SELECT starts, 'month' AS grain FROM months
  UNION ALL
  SELECT starts, 'quarter' FROM months WHERE date_part('month', starts) IN (1, 4, 7, 10)
  UNION ALL
  SELECT starts, 'year' FROM months WHERE date_part('month', starts) = 1
)
SELECT grains.starts, grains.grain, targets.stage, targets.value
FROM grains
CROSS JOIN (VALUES ('discovery', 14), ('proposal', 14), ('negotiation', 18)) AS targets (stage, value)
