/* ---
table: record_fields
description: >-
  How many records have each field that they should have, by table, owner and day of their last change. What stands for
  nothing, such as `unknown` or 1900-01-01, does not fill a field. A record counts from its last change on: how it looked
  before nobody knows any more.
time: changed_on
freshness: {column: updated_at}
--- */
WITH contents AS (
  SELECT
    'accounts' AS "table",
    owner_id,
    updated_at,
    unnest(make_array('name', 'industry', 'segment', 'region', 'owner_id', 'acquisition_channel')) AS field,
    unnest(make_array(name, industry, segment, region, owner_id, acquisition_channel)) AS content
  FROM accounts
  UNION ALL
  SELECT
    'leads',
    owner_id,
    updated_at,
    unnest(make_array('lead_source', 'region', 'owner_id', 'score')),
    unnest(make_array(lead_source, region, owner_id, CAST(score AS VARCHAR)))
  FROM leads
  UNION ALL
  SELECT
    'opportunities',
    owner_id,
    updated_at,
    unnest(make_array('account_id', 'amount', 'close_date', 'owner_id', 'channel')),
    unnest(make_array(account_id, CAST(amount AS VARCHAR), CAST(close_date AS VARCHAR), owner_id, channel))
  FROM opportunities
  UNION ALL
  SELECT
    'orders',
    owner_id,
    updated_at,
    unnest(make_array('account_id', 'channel', 'owner_id', 'currency')),
    unnest(make_array(account_id, channel, owner_id, currency))
  FROM orders
  UNION ALL
  SELECT
    'order_items',
    CAST(NULL AS VARCHAR),
    updated_at,
    unnest(make_array('product_id', 'quantity', 'cost_amount')),
    unnest(make_array(product_id, CAST(quantity AS VARCHAR), CAST(cost_amount AS VARCHAR)))
  FROM order_items
  UNION ALL
  SELECT
    'activities',
    user_id,
    updated_at,
    unnest(make_array('activity_type', 'direction', 'outcome', 'user_id')),
    unnest(make_array(activity_type, direction, outcome, user_id))
  FROM activities
  UNION ALL
  SELECT
    'cases',
    owner_id,
    updated_at,
    unnest(make_array('account_id', 'case_type', 'origin', 'priority', 'owner_id')),
    unnest(make_array(account_id, case_type, origin, priority, owner_id))
  FROM cases
)
SELECT
  contents."table",
  contents."table" || '.' || contents.field AS field,
  users.name AS representative,
  local_date(contents.updated_at) AS changed_on,
  count(*) AS records,
  count(*) FILTER (
    WHERE lower(trim(contents.content)) NOT IN ('', '-', 'n/a', 'none', 'unknown', 'tbd', '0', '1900-01-01')
  ) AS filled,
  max(contents.updated_at) AS updated_at
FROM contents
LEFT JOIN users ON users.user_id = contents.owner_id
GROUP BY contents."table", contents.field, users.name, local_date(contents.updated_at)
