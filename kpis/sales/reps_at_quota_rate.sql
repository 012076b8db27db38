/* ---
kpi: reps_at_quota_rate
label: Representatives at quota
description: >-
  Of the representatives with a quota for the period, the share that won as much. Those who won nothing are in it; those who
  had left before the period are not.
formula: Representatives who won their quota / representatives with a quota above 0
unit: percent
better: higher
by: [team, role, region, manager, tenure_band]
grains: [month, quarter, year, week, day]
target: {value: 0.40, warn: 0.30, critical: 0.20, baseline: 0.39, from: 2024-01-01, until: 2025-12-31}
minimum_n: 5
owner: sales-ops
review: monthly
objective: predictable_sales
decides: Whether quotas are fair, and who needs help.
avoids: An inner join to won deals, which loses representatives without any, and people who have left in the base.
guardrails: [quota_attainment_rate]
tags: [quota]
--- */
SELECT
  period(period_start) AS period,
  team,
  role,
  region,
  manager,
  tenure_band,
  CAST(count(*) FILTER (WHERE won_amount >= quota_amount) AS DOUBLE) / count(*) AS value,
  CAST(count(*) FILTER (WHERE won_amount >= quota_amount) AS DOUBLE) AS numerator,
  CAST(count(*) AS DOUBLE) AS denominator,
  count(*) AS n
FROM quota_results
WHERE quota_amount > 0
  AND NOT has_left
  AND period(period_start) = period_start
  AND period(period_end) = period_end
  AND period(CAST(period_end - INTERVAL '1 day' AS DATE)) = period_start
GROUP BY period(period_start), team, role, region, manager, tenure_band
