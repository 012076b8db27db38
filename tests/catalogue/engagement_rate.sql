-- Of the customers on the last day of the month, those who wrote, called or answered in it.
-- An abandoned call counts as inbound; a meeting held does not, since its outcome is neither connected nor replied.
WITH contracts AS (
  SELECT account_id, start_date AS begins, coalesce(end_date, DATE '2999-01-01') AS ends
  FROM subscriptions
  WHERE NOT is_deleted AND account_id IS NOT NULL AND (end_date IS NULL OR end_date > start_date)
),
months AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '1 month' AS next_start
  FROM generate_series(DATE '2023-01-01', DATE '2025-12-01', INTERVAL '1 month')
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
engaged AS (
  SELECT DISTINCT
    date_trunc('month', CAST(started_at AT TIME ZONE 'America/New_York' AS DATE)) AS period_start, account_id
  FROM activities
  WHERE NOT is_deleted
    AND NOT is_automated
    AND (direction = 'inbound' OR (direction = 'outbound' AND outcome IN ('connected', 'replied')))
)
SELECT months.period_start, CAST(count(engaged.account_id) AS DOUBLE) / count(*) AS value
FROM months
JOIN customers ON customers.day = months.next_start - INTERVAL '1 day'
LEFT JOIN engaged ON engaged.period_start = months.period_start AND engaged.account_id = customers.account_id
GROUP BY months.period_start
