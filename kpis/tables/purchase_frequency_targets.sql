/* ---
table: purchase_frequency_targets
description: >-
  How often customers who purchase shall do so in a quarter. A month or a year would need a target of its own.
time: starts
--- */
SELECT
  CAST(unnest(generate_series(DATE '2020-01-01', DATE '2039-10-01', INTERVAL '3 months')) AS DATE) AS starts,
  1.4 AS value
