/* ---
kpi: customer_revenue_share
label: Revenue share of the largest customers
description: >-
  Which part of the whole revenue the ten largest customers bring. By account it is the part of each account, by segment
  that of the ten largest in the segment; what is set below the line is always the revenue of all.
formula: Revenue of the ten largest accounts of the period / total revenue
unit: percent
better: within
by: [account, segment]
grains: [quarter, year]
target: {between: [0.10, 0.50], baseline: 0.57, from: 2024-01-01, until: 2025-12-31}
owner: finance
review: quarterly
objective: profitable_growth
decides: Whether the company depends on too few customers.
avoids: A filter on accounts that also cuts what is set below the line, so that every share is 100 %.
guardrails: [new_customers]
tags: [value]
--- */
WITH accounts_of_period AS (
  SELECT period(order_date) AS period, account_id, account, segment, sum(revenue) AS revenue
  FROM account_revenues
  GROUP BY period(order_date), account_id, account, segment
),
-- Orders of nobody count in the total, and nowhere else.
with_total AS (
  SELECT *, sum(revenue) OVER (PARTITION BY period) AS total
  FROM accounts_of_period
)
SELECT
  period,
  account,
  segment,
  array_sum(array_slice(array_agg(revenue ORDER BY revenue DESC), 1, {{ top_customers }})) / nullif(max(total), 0) AS value,
  array_sum(array_slice(array_agg(revenue ORDER BY revenue DESC), 1, {{ top_customers }})) AS numerator,
  max(total) AS denominator,
  count(*) AS n
FROM with_total
WHERE account_id IS NOT NULL
GROUP BY period, account, segment
