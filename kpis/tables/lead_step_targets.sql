/* ---
table: lead_step_targets
description: Which share of the leads at each step shall enter the next one.
time: starts
--- */
WITH months AS (
  SELECT CAST(unnest(generate_series(DATE '2020-01-01', DATE '2039-12-01', INTERVAL '1 month')) AS DATE) AS starts
)
SELECT months.starts, targets.step, targets.value
FROM months
CROSS JOIN (VALUES
  ('1 created', 0.50),
  ('2 qualified by marketing', 0.75),
  ('3 accepted by sales', 0.60),
  ('4 qualified by sales', 0.80)
) AS targets (step, value)
