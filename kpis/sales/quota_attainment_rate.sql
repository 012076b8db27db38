/* ---
kpi: quota_attainment_rate
label: Quota attainment
description: >-
  What representatives won, against what they were to win. A quota counts in the period that it was set for, and in no
  longer or shorter one.
formula: Won amounts / quotas, of quotas for exactly this period
unit: percent
better: higher
by: [representative, team, region]
grains: [month, quarter, year, week]
target: {value: 1.00, warn: 0.90, critical: 0.75, form: plan, baseline: 1.1, from: 2024-01-01, until: 2025-12-31}
owner: sales-ops
review: weekly
objective: predictable_sales
decides: Whether the plan can be reached.
avoids: The mean of the percentages of representatives, and a quota for a year against what was won in a month.
guardrails: [gross_margin_rate]
tags: [quota]
--- */
SELECT
  period(period_start) AS period,
  representative,
  team,
  region,
  sum(won_amount) / 1.0 / nullif(sum(quota_amount), 0) AS value,
  CAST(sum(won_amount) AS DOUBLE) AS numerator,
  CAST(nullif(sum(quota_amount), 0) AS DOUBLE) AS denominator,
  count(*) AS n
FROM quota_results
WHERE period(period_start) = period_start
  AND period(period_end) = period_end
  AND period(CAST(period_end - INTERVAL '1 day' AS DATE)) = period_start
GROUP BY period(period_start), representative, team, region
