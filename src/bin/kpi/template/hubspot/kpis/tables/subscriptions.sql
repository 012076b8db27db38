/* ---
table: subscriptions
override: merge
description: >-
  Recurring line items of deals that were won. The successor of one is the next one of the same company and product, from
  {{ renewal_days }} days before its end to as many after it. Without a billing period it runs on.
--- */
WITH terms AS (
  SELECT
    line_item_id,
    company_id,
    product_id,
    start_date,
    CASE
      WHEN months + days > 0
      THEN CAST(start_date + CAST(concat(CAST(months AS TEXT), ' months ', CAST(days AS TEXT), ' days') AS INTERVAL) AS DATE)
    END AS ends_on,
    mrr,
    updated_at
  FROM sold_items
  WHERE is_recurring
),
successors AS (
  SELECT terms.line_item_id, first_value(later.line_item_id ORDER BY later.start_date, later.line_item_id) AS successor_id
  FROM terms
  JOIN terms AS later ON later.company_id = terms.company_id AND later.product_id = terms.product_id
  WHERE later.start_date > terms.start_date
    AND abs(days_between(terms.ends_on, later.start_date)) <= {{ renewal_days }}
  GROUP BY terms.line_item_id
)
SELECT
  terms.line_item_id AS subscription_id,
  terms.company_id AS account_id,
  terms.product_id,
  terms.start_date,
  terms.ends_on AS end_date,
  terms.ends_on AS term_end_date,
  terms.mrr,
  successors.successor_id AS renewed_by_subscription_id,
  CAST(NULL AS TEXT) AS cancel_reason,
  terms.updated_at
FROM terms
LEFT JOIN successors ON successors.line_item_id = terms.line_item_id
