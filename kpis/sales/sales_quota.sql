/* ---
kpi: sales_quota
label: Sales quota
description: What representatives are to win in the period, by quotas that were set for exactly this period.
formula: Sum of quotas for exactly this period
unit: currency
better: none
by: [representative, team]
grains: [month, quarter, week]
owner: sales-ops
review: monthly
objective: predictable_sales
decides: Nothing by itself; the forecast is compared with it.
avoids: A quota for a year set against a month.
tags: [quota]
--- */
SELECT
  period(period_start) AS period,
  representative,
  team,
  CAST(sum(quota_amount) AS DOUBLE) AS value,
  count(*) AS n
FROM quota_results
WHERE period(period_start) = period_start
  AND period(period_end) = period_end
  AND period(CAST(period_end - INTERVAL '1 day' AS DATE)) = period_start
GROUP BY period(period_start), representative, team
