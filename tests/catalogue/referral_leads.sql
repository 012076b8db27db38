-- Leads that a client referred, or whose source says so, once each, by month.
WITH months AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '1 month' AS next_start
  FROM generate_series(DATE '2023-01-01', DATE '2025-12-01', INTERVAL '1 month')
),
real_leads AS (
  SELECT *, CAST(created_at AT TIME ZONE 'America/New_York' AS DATE) AS created_on
  FROM leads
  WHERE NOT is_deleted AND NOT is_duplicate
)
SELECT months.period_start, count(DISTINCT referrals.lead_id) AS value
FROM months
LEFT JOIN (
  SELECT lead_id, created_on FROM real_leads WHERE referred_by_account_id IS NOT NULL
  UNION ALL
  SELECT lead_id, created_on FROM real_leads WHERE lower(trim(lead_source)) = 'referral'
) AS referrals ON date_trunc('month', referrals.created_on) = months.period_start
GROUP BY months.period_start
