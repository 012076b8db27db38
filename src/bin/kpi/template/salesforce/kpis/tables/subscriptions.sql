/* ---
table: subscriptions
override: merge
description: >-
  Contracts. The successor of one is the contract of the same account that begins next, from {{ renewal_days }} days before its
  end to as many after it. Salesforce has no field for the monthly amount: add it as mrr if you have one.
--- */
WITH contracts AS (
  SELECT contract_id, account_id, start_date, CAST(last_day + INTERVAL '1 day' AS DATE) AS ends_on, updated_at
  FROM contract_export
),
successors AS (
  SELECT
    contracts.contract_id,
    first_value(later.contract_id ORDER BY later.start_date, later.contract_id) AS successor_id
  FROM contracts
  JOIN contracts AS later ON later.account_id = contracts.account_id
  WHERE later.contract_id <> contracts.contract_id
    AND later.start_date > contracts.start_date
    AND abs(days_between(contracts.ends_on, later.start_date)) <= {{ renewal_days }}
  GROUP BY contracts.contract_id
)
SELECT
  contracts.contract_id AS subscription_id,
  contracts.account_id,
  contracts.start_date,
  contracts.ends_on AS end_date,
  contracts.ends_on AS term_end_date,
  successors.successor_id AS renewed_by_subscription_id,
  CAST(NULL AS TEXT) AS cancel_reason,
  contracts.updated_at
FROM contracts
LEFT JOIN successors ON successors.contract_id = contracts.contract_id
