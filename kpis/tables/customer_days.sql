/* ---
table: customer_days
description: >-
  Each day on which an account was a customer, up to the last day that is known. Time as a customer adds up over it.
primary_key: [account_id, day]
time: day
joins:
  account: {table: accounts, on: account_id}
dimensions:
  region: account.region
  segment: account.segment
  industry: account.industry
  acquisition_channel: account.acquisition_channel
  acquisition_campaign: account.acquisition_campaign
freshness: {column: updated_at}
--- */
WITH known AS (
  SELECT max(updated_at) AS updated_at FROM customer_periods
),
days AS (
  SELECT
    account_id,
    unnest(
      generate_series(
        valid_from,
        least(CAST(valid_to - INTERVAL '1 day' AS DATE), local_date(known.updated_at)),
        INTERVAL '1 day'
      )
    ) AS day,
    known.updated_at
  FROM customer_periods CROSS JOIN known
)
SELECT account_id, CAST(day AS DATE) AS day, updated_at
FROM days
