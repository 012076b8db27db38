/* ---
table: expected_deals
description: >-
  What the forecast is made of, by the day of closing: won deals with their amount on the day on which they were won, and
  open deals in their stretches, with amount times probability, on the day on which they are expected to close.
time: day
freshness: {column: known_until}
--- */
WITH known AS (
  SELECT max(updated_at) AS known_until FROM opportunities
),
deals AS (
  SELECT
    opportunity_id,
    close_date AS day,
    CAST(NULL AS DATE) AS begins,
    CAST(NULL AS DATE) AS ends,
    true AS is_won,
    amount AS weighted_amount
  FROM opportunities
  WHERE is_won
  UNION ALL
  SELECT opportunity_id, expected_on, begins, ends, false, amount * probability
  FROM pipeline
)
SELECT
  deals.opportunity_id,
  deals.day,
  deals.begins,
  deals.ends,
  deals.is_won,
  CAST(coalesce(deals.weighted_amount, 0) AS DOUBLE) AS weighted_amount,
  opportunities.owner_id,
  opportunities.forecast_category,
  users.name AS representative,
  users.team,
  known.known_until
FROM deals
JOIN opportunities ON opportunities.opportunity_id = deals.opportunity_id
LEFT JOIN users ON users.user_id = opportunities.owner_id
CROSS JOIN known
