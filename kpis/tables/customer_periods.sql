/* ---
table: customer_periods
description: >-
  The one meaning of "customer" for all KPIs: from when to when each account was one. With the method `contracts` an
  account is a customer while a contract runs, and contracts that follow each other within `customer_gap_days` are one
  period. With the method `orders`, for a business without contracts, each purchase makes the account a customer for
  `customer_days`. valid_to is the first day that no longer counts; it is missing while a contract has no end.
primary_key: [account_id, valid_from]
time: valid_from
joins:
  account: {table: accounts, on: account_id}
dimensions:
  region: account.region
  segment: account.segment
  industry: account.industry
  representative: account.representative
  acquisition_channel: account.acquisition_channel
  acquisition_campaign: account.acquisition_campaign
  campaign_channel: account.campaign_channel
  loyalty_member: account.loyalty_member
  tenure_band:
    expression: >-
      CASE WHEN valid_to IS NULL THEN NULL
           WHEN days_between(valid_from, valid_to) < 365 THEN '1 under a year'
           WHEN days_between(valid_from, valid_to) < 730 THEN '2 one to two years'
           WHEN days_between(valid_from, valid_to) < 1461 THEN '3 two to four years'
           ELSE '4 four years and more' END
    description: How long the account had been a customer when it left. Missing while it is one.
freshness: {column: updated_at}
--- */
WITH known AS (
  SELECT local_date(max(updated_at)) AS day FROM orders
),
stretches AS (
  SELECT
    account_id,
    subscription_id AS source_id,
    start_date AS begins,
    coalesce(end_date, DATE '9999-12-31') AS ends,
    cancel_reason,
    updated_at
  FROM subscriptions
  WHERE {{ customer_method }} = 'contracts' AND (end_date IS NULL OR end_date > start_date)
  UNION ALL
  SELECT
    account_id,
    order_id AS source_id,
    order_date AS begins,
    -- What ends behind the last day known has not ended yet.
    coalesce(
      CASE WHEN period_shift(order_date, 'day', {{ customer_days }}) <= known.day
           THEN period_shift(order_date, 'day', {{ customer_days }}) END,
      DATE '9999-12-31'
    ) AS ends,
    CAST(NULL AS VARCHAR) AS cancel_reason,
    updated_at
  FROM orders
  CROSS JOIN known
  WHERE {{ customer_method }} = 'orders' AND status = 'completed' AND coalesce(order_type, '') <> 'credit'
),
with_end_before AS (
  SELECT
    *,
    max(ends) OVER (
      PARTITION BY account_id
      ORDER BY begins, source_id
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS end_before
  FROM stretches
  WHERE account_id IS NOT NULL
),
with_number AS (
  SELECT
    *,
    count(*) FILTER (
      WHERE end_before IS NULL
        OR days_between(end_before, begins)
          > CASE WHEN {{ customer_method }} = 'contracts' THEN {{ customer_gap_days }} ELSE 0 END
    ) OVER (
      PARTITION BY account_id
      ORDER BY begins, source_id
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS number
  FROM with_end_before
)
SELECT
  account_id,
  min(begins) AS valid_from,
  nullif(max(ends), DATE '9999-12-31') AS valid_to,
  number = 1 AS is_first,
  CASE WHEN max(ends) < DATE '9999-12-31' THEN last_value(cancel_reason ORDER BY ends, source_id) END AS cancel_reason,
  {{ customer_method }} AS method,
  max(updated_at) AS updated_at
FROM with_number
GROUP BY account_id, number
