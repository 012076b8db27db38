/* ---
kpi: forecast_accuracy
label: Forecast accuracy
description: >-
  How near the forecast came to what was won, as it was when the period began. It is 100 % where each representative won
  exactly what the forecast said, and below zero where the errors are larger than what was won.
formula: 1 - sum over representatives of the difference between forecast and won amount / won amounts
unit: percent
better: higher
by: [representative, team]
grains: [month, quarter]
target: {value: 0.30, warn: 0.20, critical: 0, baseline: 0.3, from: 2024-01-01, until: 2025-12-31}
owner: sales-ops
review: monthly
objective: predictable_sales
decides: How far to believe the next forecast.
avoids: The forecast of the last day, which is always right, and errors in both directions that cancel each other.
guardrails: [quota_attainment_rate]
tags: [pipeline]
--- */
WITH parts AS (
  -- The forecast is frozen on the evening before `locked_on`.
  SELECT *, period(day) AS period, period_shift(period(day), 'day', {{ forecast_lock_days }}) AS locked_on
  FROM expected_deals
  WHERE period(day) <= period(known_until)
),
errors AS (
  SELECT
    period,
    owner_id,
    representative,
    team,
    coalesce(sum(weighted_amount) FILTER (
      WHERE (is_won AND day < locked_on)
        OR (NOT is_won AND begins < locked_on AND (ends IS NULL OR ends >= locked_on))
    ), 0) AS forecast,
    coalesce(sum(weighted_amount) FILTER (WHERE is_won), 0) AS won
  FROM parts
  GROUP BY period, owner_id, representative, team
)
SELECT
  period,
  representative,
  team,
  (sum(won) - sum(abs(forecast - won))) / nullif(sum(won), 0) AS value,
  sum(won) - sum(abs(forecast - won)) AS numerator,
  nullif(sum(won), 0) AS denominator,
  count(*) AS n
FROM errors
GROUP BY period, representative, team
