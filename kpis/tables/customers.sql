/* ---
table: customers
description: Accounts that ever were customers, on the first day on which they were.
primary_key: account_id
time: first_day
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
freshness: {column: updated_at}
--- */
SELECT account_id, min(valid_from) AS first_day, max(updated_at) AS updated_at
FROM customer_periods
GROUP BY account_id
