-- Of the fields that records changed up to the end of the week should have, the share that is filled. The catalogue
-- leaves open which fields; they are those of the KPI. What stands for nothing fills no field.
WITH weeks AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '7 days' AS next_start
  FROM generate_series(DATE '2022-12-26', DATE '2025-12-22', INTERVAL '7 days')
),
records AS (
  SELECT
    CAST(updated_at AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York' AS DATE) AS changed_on,
    make_array(
      name,
      industry,
      segment,
      region,
      owner_id,
      acquisition_channel
    ) AS contents
  FROM accounts
  WHERE NOT is_deleted AND name NOT LIKE 'TEST %'
  UNION ALL
  SELECT
    CAST(updated_at AT TIME ZONE 'America/New_York' AS DATE) AS changed_on,
    make_array(
      lead_source,
      region,
      owner_id,
      CAST(score AS VARCHAR)
    ) AS contents
  FROM leads
  WHERE NOT is_deleted AND NOT is_duplicate
  UNION ALL
  SELECT
    CAST(updated_at AT TIME ZONE 'America/New_York' AS DATE) AS changed_on,
    make_array(
      account_id,
      CAST(amount AS VARCHAR),
      CAST(close_date AS VARCHAR),
      owner_id,
      channel
    ) AS contents
  FROM opportunities
  WHERE NOT is_deleted
  UNION ALL
  SELECT
    CAST(updated_at AT TIME ZONE 'America/New_York' AS DATE) AS changed_on,
    make_array(
      account_id,
      channel,
      owner_id,
      currency
    ) AS contents
  FROM orders
  WHERE NOT is_deleted
  UNION ALL
  SELECT
    CAST(updated_at AT TIME ZONE 'America/New_York' AS DATE) AS changed_on,
    make_array(
      product_id,
      CAST(quantity AS VARCHAR),
      CAST(cost_amount AS VARCHAR)
    ) AS contents
  FROM order_items
  WHERE NOT is_deleted
  UNION ALL
  SELECT
    CAST(updated_at AT TIME ZONE 'America/New_York' AS DATE) AS changed_on,
    make_array(
      activity_type,
      direction,
      outcome,
      user_id
    ) AS contents
  FROM activities
  WHERE NOT is_deleted
  UNION ALL
  SELECT
    CAST(updated_at AT TIME ZONE 'America/New_York' AS DATE) AS changed_on,
    make_array(
      account_id,
      case_type,
      origin,
      priority,
      owner_id
    ) AS contents
  FROM cases
  WHERE NOT is_deleted
),
fields AS (
  SELECT changed_on, lower(trim(unnest(contents))) AS content FROM records
),
by_week AS (
  SELECT
    date_trunc('week', changed_on) AS period_start,
    count(*) AS fields,
    count(*) FILTER (
      WHERE content NOT IN ('', '-', 'n/a', 'none', 'unknown', 'tbd', '0', '1900-01-01')
    ) AS filled
  FROM fields
  GROUP BY 1
)
SELECT
  weeks.period_start,
  CAST(sum(by_week.filled) OVER (ORDER BY weeks.period_start) AS DOUBLE)
    / sum(by_week.fields) OVER (ORDER BY weeks.period_start) AS value
FROM weeks LEFT JOIN by_week ON by_week.period_start = weeks.period_start
