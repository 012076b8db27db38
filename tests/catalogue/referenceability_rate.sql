-- Of the customers on the last day of the quarter, those who may be named as a reference on that day.
WITH contracts AS (
  SELECT account_id, start_date AS begins, coalesce(end_date, DATE '2999-01-01') AS ends
  FROM subscriptions
  WHERE NOT is_deleted AND account_id IS NOT NULL AND (end_date IS NULL OR end_date > start_date)
),
quarters AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '3 months' AS next_start
  FROM generate_series(DATE '2022-01-01', DATE '2025-10-01', INTERVAL '3 months')
),
boundaries AS (
  SELECT next_start - INTERVAL '1 day' AS day FROM quarters
),
customers AS (
  -- On a day on which no contract runs, the next one must begin at most 30 days behind the end of the last one.
  SELECT day, account_id
  FROM contracts CROSS JOIN boundaries
  GROUP BY day, account_id
  HAVING max(ends) FILTER (WHERE begins <= day) > day
    OR min(begins) FILTER (WHERE begins > day) <= max(ends) FILTER (WHERE begins <= day) + INTERVAL '30 days'
),
references_then AS (
  SELECT boundaries.day, accounts.account_id
  FROM boundaries JOIN accounts
    ON accounts.referenceable_since <= boundaries.day
    AND (accounts.referenceable_until IS NULL OR accounts.referenceable_until > boundaries.day)
  WHERE NOT accounts.is_deleted AND accounts.name NOT LIKE 'TEST %'
)
SELECT quarters.period_start, CAST(count(references_then.account_id) AS DOUBLE) / count(*) AS value
FROM quarters
JOIN customers ON customers.day = quarters.next_start - INTERVAL '1 day'
LEFT JOIN references_then
  ON references_then.account_id = customers.account_id AND references_then.day = customers.day
GROUP BY quarters.period_start
