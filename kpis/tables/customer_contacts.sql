/* ---
table: customer_contacts
description: >-
  Two kinds of rows, between the days on which each counts: `customer` is 1 while an account is a customer, once for each
  channel, and `contacts` is the number of conversations of a day, from that day on for ever. Added up for an account they
  say on any day whether it is a customer, and how many conversations there were up to then.
time: begins
joins:
  account: {table: accounts, on: account_id}
dimensions:
  region: account.region
  segment: account.segment
  industry: account.industry
  representative: account.representative
freshness: {column: updated_at}
--- */
WITH contacts AS (
  SELECT
    account_id,
    activity_type AS channel,
    local_date(started_at) AS begins,
    count(*) AS contacts,
    max(updated_at) AS updated_at
  FROM activities
  -- What `two_way` says in `activities`.
  WHERE is_automated IS NOT TRUE AND (direction = 'inbound' OR outcome IN ('connected', 'replied'))
    AND account_id IS NOT NULL
  GROUP BY account_id, activity_type, local_date(started_at)
),
known AS (
  -- Before anybody wrote conversations down there is nothing to divide.
  SELECT min(begins) AS first_day FROM contacts
),
channels AS (
  SELECT DISTINCT activity_type AS channel FROM activities
)
SELECT
  customer_periods.account_id,
  channels.channel,
  greatest(customer_periods.valid_from, known.first_day) AS begins,
  customer_periods.valid_to AS ends,
  1 AS customer,
  0 AS contacts,
  customer_periods.updated_at
FROM customer_periods
CROSS JOIN channels
CROSS JOIN known
UNION ALL
SELECT account_id, channel, begins, CAST(NULL AS DATE), 0, contacts, updated_at
FROM contacts
