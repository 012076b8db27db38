/* ---
kpi: revenue_per_lead
label: Revenue per lead
description: >-
  What one lead brings: the orders of its account within 180 days of the day on which the lead came in, over all leads that
  came in. Where an account has several leads of the period, its first one has the revenue.
formula: Net amounts of orders within 180 days of the lead / leads created
ripens: "{{ lead_revenue_days }} days"
unit: currency
better: higher
by: [lead_source, campaign, product]
grains: [month, quarter]
target: {value: 2000, warn: 1400, critical: 700, baseline: 2900, from: 2024-01-01, until: 2025-12-31}
minimum_n: 10
owner: marketing-ops
review: monthly
objective: better_leads
decides: What one more lead of a source may cost.
avoids: >-
  Only converted leads below the line, revenue of the period over leads of the period, and revenue counted once for each of
  several leads of one account.
guardrails: [cost_per_lead]
tags: [quality]
--- */
WITH numbered AS (
  SELECT
    *,
    row_number() OVER (PARTITION BY period(created_at), account_id ORDER BY created_at, lead_id) AS number
  FROM lead_revenues
)
SELECT
  period(created_at) AS period,
  lead_source,
  campaign,
  product,
  coalesce(sum(revenue) FILTER (WHERE number = 1), 0) / count(*) AS value,
  coalesce(sum(revenue) FILTER (WHERE number = 1), 0) AS numerator,
  CAST(count(*) AS DOUBLE) AS denominator,
  count(*) AS n
FROM numbered
GROUP BY period(created_at), lead_source, campaign, product
