-- Records up to the end of the week that look like an earlier one, over all. The catalogue leaves open what looks
-- alike; the match keys are those of the KPI. Of records with one key all but the first are duplicates, so they are the
-- records less the keys; a record without a key is none. Leads have no key but what the CRM marked.
WITH weeks AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '7 days' AS next_start
  FROM generate_series(DATE '2020-01-20', DATE '2025-12-22', INTERVAL '7 days')
),
records AS (
  SELECT
    CAST(created_at AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York' AS DATE) AS day,
    'accounts ' || regexp_replace(lower(name), '[^a-z0-9]', '', 'g') AS match_key
  FROM accounts
  WHERE NOT is_deleted AND name NOT LIKE 'TEST %'
  UNION ALL
  SELECT
    CAST(updated_at AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York' AS DATE),
    'products ' || lower(name)
  FROM products
  WHERE NOT is_deleted
  UNION ALL
  SELECT
    least(start_date, CAST(updated_at AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York' AS DATE)),
    'campaigns ' || lower(name) || ' ' || start_date
  FROM campaigns
  WHERE NOT is_deleted
  UNION ALL
  SELECT
    CAST(created_at AT TIME ZONE 'America/New_York' AS DATE),
    'opportunities '
      || account_id || ' ' || type || ' ' || amount || ' ' || CAST(created_at AT TIME ZONE 'America/New_York' AS DATE)
  FROM opportunities
  WHERE NOT is_deleted
  UNION ALL
  SELECT
    order_date,
    'orders ' || account_id || ' ' || opportunity_id || ' ' || order_type || ' ' || order_date
  FROM orders
  WHERE NOT is_deleted
  UNION ALL
  SELECT
    least(start_date, CAST(updated_at AT TIME ZONE 'America/New_York' AS DATE)),
    'subscriptions ' || account_id || ' ' || product_id || ' ' || start_date
  FROM subscriptions
  WHERE NOT is_deleted
  UNION ALL
  SELECT
    CAST(created_at AT TIME ZONE 'America/New_York' AS DATE),
    'cases '
      || account_id
        || ' ' || product_id || ' ' || case_type || ' ' || CAST(created_at AT TIME ZONE 'America/New_York' AS DATE)
  FROM cases
  WHERE NOT is_deleted
  UNION ALL
  SELECT
    CAST(started_at AT TIME ZONE 'America/New_York' AS DATE),
    'activities '
      || activity_type
        || ' ' || user_id || ' ' || started_at || ' ' || coalesce(case_id, opportunity_id, lead_id, account_id)
  FROM activities
  WHERE NOT is_deleted
),
keys AS (
  SELECT match_key, min(day) AS day FROM records WHERE match_key IS NOT NULL GROUP BY match_key
),
counted AS (
  SELECT day, 1 AS records, CASE WHEN match_key IS NULL THEN 0 ELSE 1 END AS duplicates FROM records
  UNION ALL
  SELECT day, 0, -1 FROM keys
  UNION ALL
  SELECT CAST(created_at AT TIME ZONE 'America/New_York' AS DATE), 1, CASE WHEN is_duplicate THEN 1 ELSE 0 END
  FROM leads
  WHERE NOT is_deleted
),
by_week AS (
  SELECT date_trunc('week', day) AS period_start, sum(records) AS records, sum(duplicates) AS duplicates
  FROM counted
  GROUP BY 1
)
SELECT
  weeks.period_start,
  CAST(sum(by_week.duplicates) OVER (ORDER BY weeks.period_start) AS DOUBLE)
    / sum(by_week.records) OVER (ORDER BY weeks.period_start) AS value
FROM weeks LEFT JOIN by_week ON by_week.period_start = weeks.period_start
