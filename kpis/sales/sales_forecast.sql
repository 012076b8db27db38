/* ---
kpi: sales_forecast
label: Sales forecast
description: >-
  What sales will have won in the period by the end of it: what is won already, and the open deals that are expected to close
  in it, each by its probability. For a period that is over it is what was won, and what was left open.
formula: Won amounts + amount * probability of open deals expected to close in the period
unit: currency
better: higher
by: [representative, team, forecast_category]
grains: [month, quarter, week]
target: {kpi: sales_quota, form: plan, warn: 0.9, critical: 0.7}
owner: sales-ops
review: weekly
objective: predictable_sales
decides: Whether the plan will be reached while something can still be done.
avoids: >-
  Deals whose expected date is over, which belong to no period to come, and probabilities that nobody ever checked.
guardrails: [forecast_accuracy, overdue_open_opportunities]
tags: [pipeline]
--- */
SELECT
  period(day) AS period,
  representative,
  team,
  forecast_category,
  sum(weighted_amount) AS value,
  count(*) AS n
FROM expected_deals
-- Open at the end of the period in which they are expected to close, or today if that is earlier.
WHERE (is_won OR (period(begins) <= period(day) AND (ends IS NULL OR period(ends) > period(day))))
  AND period(day) <= period(known_until)
GROUP BY period(day), representative, team, forecast_category
