/* ---
table: sold_items
description: The line items of deals that were won, in the account's currency, at the rate at which HubSpot converted the deal.
primary_key: line_item_id
--- */
SELECT
  items.line_item_id,
  items.deal_id,
  deals.company_id,
  items.product_id,
  items.quantity,
  items.amount * deals.rate AS net_amount,
  items.unit_cost * items.quantity * deals.rate AS cost_amount,
  items.frequency IS NOT NULL AS is_recurring,
  coalesce(items.billing_start, local_date(deals.closes_at)) AS start_date,
  -- An ISO 8601 period such as P12M, P1Y6M or P52W.
  coalesce(CAST(regexp_match(items.billing_period, '([0-9]+)Y')[1] AS BIGINT) * 12, 0)
    + coalesce(CAST(regexp_match(items.billing_period, '([0-9]+)M')[1] AS BIGINT), 0) AS months,
  coalesce(CAST(regexp_match(items.billing_period, '([0-9]+)W')[1] AS BIGINT) * 7, 0)
    + coalesce(CAST(regexp_match(items.billing_period, '([0-9]+)D')[1] AS BIGINT), 0) AS days,
  items.mrr * deals.rate AS mrr,
  deals.updated_at
FROM line_item_export AS items
JOIN (
  SELECT deal_id, company_id, closes_at, updated_at, coalesce(amount / nullif(deal_amount, 0), 1.0) AS rate
  FROM deal_export
  WHERE is_won
) AS deals ON deals.deal_id = items.deal_id
