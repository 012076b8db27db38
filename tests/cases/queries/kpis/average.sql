/* ---
kpi: average
grains: [quarter]
better: higher
target: 40
minimum_n: 2
--- */
SELECT
  region,
  period(at) AS period,
  channel,
  1.0 * sum(amount) / count(*) AS value,
  sum(amount) AS numerator,
  count(*) AS denominator,
  count(*) AS n
FROM orders_loaded
GROUP BY ALL
ORDER BY region
