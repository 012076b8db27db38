-- Deals that were open at the end of the week, whatever they are today.
WITH weeks AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '7 days' AS next_start
  FROM generate_series(DATE '2022-12-26', DATE '2025-12-22', INTERVAL '7 days')
),
open_then AS (
  SELECT weeks.period_start, weeks.next_start - INTERVAL '1 day' AS day, opportunities.*
  FROM weeks JOIN opportunities
    ON CAST(opportunities.created_at AT TIME ZONE 'America/New_York' AS DATE) < weeks.next_start
    AND (NOT opportunities.is_closed OR opportunities.close_date >= weeks.next_start)
  WHERE NOT opportunities.is_deleted
)
SELECT weeks.period_start, count(open_then.opportunity_id) AS value
FROM weeks LEFT JOIN open_then ON open_then.period_start = weeks.period_start
GROUP BY weeks.period_start
