/* ---
kpi: reps_at_quota
grains: [month, quarter, year]
--- */
SELECT
  period(period_start) AS period,
  CAST(count(*) FILTER (WHERE won >= quota) AS DOUBLE) / count(*) AS value,
  count(*) AS n
FROM quotas
WHERE period(period_start) = period_start
  AND period(period_end) = period_end
  AND period(period_end - INTERVAL '1 day') = period_start
GROUP BY period(period_start)
