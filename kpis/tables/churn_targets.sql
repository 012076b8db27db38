/* ---
table: churn_targets
description: Which share of the customers may leave in a period. It is what retention leaves.
time: starts
--- */
SELECT starts, grain, segment, 1 - value AS value FROM retention_targets
