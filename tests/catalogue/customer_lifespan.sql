-- Customer-days of the 365 days up to the end of the quarter over the endings in them, in years.
-- Twelve months are 365 days here, as section 8 has it for the lifetime value.
WITH contracts AS (
  SELECT account_id, start_date AS begins, coalesce(end_date, DATE '2999-01-01') AS ends
  FROM subscriptions
  WHERE NOT is_deleted AND account_id IS NOT NULL AND (end_date IS NULL OR end_date > start_date)
),
beginnings AS (
  SELECT account_id, begins, row_number() OVER (PARTITION BY account_id ORDER BY begins) AS number
  FROM (
    SELECT DISTINCT account_id, begins
    FROM contracts AS this
    WHERE NOT EXISTS (
      SELECT 1 FROM contracts AS other
      WHERE other.account_id = this.account_id
        AND other.begins < this.begins
        AND other.ends + INTERVAL '30 days' >= this.begins
    )
  )
),
endings AS (
  SELECT account_id, ends, row_number() OVER (PARTITION BY account_id ORDER BY ends) AS number
  FROM (
    SELECT DISTINCT account_id, ends
    FROM contracts AS this
    WHERE NOT EXISTS (
      SELECT 1 FROM contracts AS other
      WHERE other.account_id = this.account_id
        AND other.ends > this.ends
        AND other.begins <= this.ends + INTERVAL '30 days'
    )
  )
),
-- The first beginning of an account belongs to its first ending, and so on.
customer_times AS (
  SELECT account_id, begins AS valid_from, ends AS valid_to FROM beginnings JOIN endings USING (account_id, number)
),
quarters AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '3 months' AS next_start
  FROM generate_series(DATE '2022-01-01', DATE '2025-10-01', INTERVAL '3 months')
),
exposure AS (
  SELECT
    quarters.period_start,
    sum(least(valid_to, next_start) - greatest(valid_from, next_start - INTERVAL '365 days')) AS customer_days,
    count(*) FILTER (WHERE valid_to < next_start) AS endings
  FROM quarters
  JOIN customer_times ON valid_from < next_start AND valid_to >= next_start - INTERVAL '365 days'
  GROUP BY quarters.period_start
)
SELECT period_start, CAST(customer_days AS DOUBLE) / nullif(endings, 0) / 365.25 AS value
FROM exposure
