/* ---
table: quotas
override: merge
description: Quotas with the days of their fiscal period, whose last day counts in Salesforce and not here.
--- */
SELECT
  quotas.quota_id,
  quotas.user_id,
  periods.first_day AS period_start,
  CAST(periods.last_day + INTERVAL '1 day' AS DATE) AS period_end,
  quotas.quota_amount
FROM quota_export AS quotas
JOIN period_export AS periods ON periods.period_id = quotas.period_id
