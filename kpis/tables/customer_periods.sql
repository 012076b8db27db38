/* ---
table: customer_periods
description: >-
  The one meaning of "customer" for all KPIs: from when to when each account was one. Contracts of an account that follow
  each other within `customer_gap_days` are one period. valid_to is the first day that no longer counts; it is missing
  while the account is a customer.
primary_key: [account_id, valid_from]
time: valid_from
joins:
  account: {table: accounts, on: account_id}
dimensions:
  region: account.region
  segment: account.segment
  industry: account.industry
  acquisition_channel: account.acquisition_channel
  acquisition_campaign: account.acquisition_campaign.name
freshness: {column: updated_at}
--- */
WITH contracts AS (
  SELECT subscription_id, account_id, start_date, coalesce(end_date, DATE '9999-12-31') AS end_date, updated_at
  FROM subscriptions
  WHERE account_id IS NOT NULL AND (end_date IS NULL OR end_date > start_date)
),
with_end_before AS (
  SELECT
    *,
    max(end_date) OVER (
      PARTITION BY account_id
      ORDER BY start_date, subscription_id
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS end_before
  FROM contracts
),
with_number AS (
  SELECT
    *,
    count(*) FILTER (WHERE end_before IS NULL OR days_between(end_before, start_date) > {{ customer_gap_days }}) OVER (
      PARTITION BY account_id
      ORDER BY start_date, subscription_id
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS number
  FROM with_end_before
)
SELECT
  account_id,
  min(start_date) AS valid_from,
  nullif(max(end_date), DATE '9999-12-31') AS valid_to,
  max(updated_at) AS updated_at
FROM with_number
GROUP BY account_id, number
