/* ---
table: duplicate_records
description: >-
  How many records look like an earlier one, by table and day of their creation. Two records look alike where all that is
  said of them here is alike, though their numbers differ; where something is missing they do not. Leads carry no name, so
  what the CRM marks as a duplicate is one.
time: created_on
freshness: {column: updated_at}
--- */
WITH records AS (
  SELECT
    'accounts' AS "table",
    'crm' AS source_system,
    account_id AS id,
    local_date(created_at) AS created_on,
    updated_at,
    regexp_replace(lower(name), '[^a-z0-9]', '', 'g') AS match_key
  FROM accounts
  UNION ALL
  SELECT 'products', 'crm', product_id, local_date(updated_at), updated_at, lower(name)
  FROM products
  UNION ALL
  SELECT 'campaigns', 'crm', campaign_id, least(start_date, local_date(updated_at)), updated_at, lower(name) || ' ' || start_date
  FROM campaigns
  UNION ALL
  SELECT
    'opportunities',
    'crm',
    opportunity_id,
    local_date(created_at),
    updated_at,
    account_id || ' ' || type || ' ' || amount || ' ' || local_date(created_at)
  FROM opportunities
  UNION ALL
  SELECT
    'orders',
    'crm',
    order_id,
    order_date,
    updated_at,
    account_id || ' ' || opportunity_id || ' ' || order_type || ' ' || order_date
  FROM orders
  UNION ALL
  SELECT
    'subscriptions',
    'crm',
    subscription_id,
    -- What begins later is on record already.
    least(start_date, local_date(updated_at)),
    updated_at,
    account_id || ' ' || product_id || ' ' || start_date
  FROM subscriptions
  UNION ALL
  SELECT
    'cases',
    'service desk',
    case_id,
    local_date(created_at),
    updated_at,
    account_id || ' ' || product_id || ' ' || case_type || ' ' || local_date(created_at)
  FROM cases
  UNION ALL
  SELECT
    'activities',
    'telephony',
    activity_id,
    local_date(started_at),
    updated_at,
    activity_type || ' ' || user_id || ' ' || started_at || ' ' || coalesce(case_id, opportunity_id, lead_id, account_id)
  FROM activities
),
numbered AS (
  SELECT
    "table",
    source_system,
    created_on,
    updated_at,
    match_key IS NOT NULL
      AND row_number() OVER (PARTITION BY "table", match_key ORDER BY created_on, id) > 1 AS is_duplicate
  FROM records
  UNION ALL
  SELECT 'leads', 'crm', local_date(created_at), updated_at, is_duplicate
  FROM lead_records
)
SELECT
  "table",
  source_system,
  created_on,
  count(*) AS records,
  count(*) FILTER (WHERE is_duplicate) AS duplicates,
  max(updated_at) AS updated_at
FROM numbered
GROUP BY "table", source_system, created_on
