/* ---
table: gross_profit_targets
description: The gross profit that each segment of customers shall bring in a quarter.
time: starts
--- */
SELECT
  CAST(unnest(generate_series(DATE '2025-01-01', DATE '2025-10-01', INTERVAL '3 months')) AS DATE) AS starts,
  targets.segment,
  targets.value
FROM (VALUES ('enterprise', 900000), ('mid', 600000), ('smb', 250000), (NULL, 1800000)) AS targets (segment, value)
