-- Active customers by segment, with months in which a segment has none.
WITH contracts AS (
  SELECT account_id, start_date AS begins, coalesce(end_date, DATE '2999-01-01') AS ends
  FROM subscriptions
  WHERE NOT is_deleted AND account_id IS NOT NULL AND (end_date IS NULL OR end_date > start_date)
),
months AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '1 month' AS next_start
  FROM generate_series(DATE '2022-01-01', DATE '2025-12-01', INTERVAL '1 month')
),
boundaries AS (
  SELECT next_start - INTERVAL '1 day' AS day FROM months
),
customers AS (
  -- On a day on which no contract runs, the next one must begin at most 30 days behind the end of the last one.
  SELECT day, account_id
  FROM contracts CROSS JOIN boundaries
  GROUP BY day, account_id
  HAVING max(ends) FILTER (WHERE begins <= day) > day
    OR min(begins) FILTER (WHERE begins > day) <= max(ends) FILTER (WHERE begins <= day) + INTERVAL '30 days'
),
with_segment AS (
  SELECT customers.day, customers.account_id, accounts.segment
  FROM customers
  LEFT JOIN accounts
    ON accounts.account_id = customers.account_id AND NOT accounts.is_deleted AND accounts.name NOT LIKE 'TEST %'
),
members AS (
  SELECT segment FROM with_segment GROUP BY segment
)
SELECT months.period_start, members.segment, count(with_segment.account_id) AS value
FROM months
CROSS JOIN members
LEFT JOIN with_segment
  ON with_segment.day = months.next_start - INTERVAL '1 day'
  AND with_segment.segment IS NOT DISTINCT FROM members.segment
GROUP BY months.period_start, members.segment
