-- Of all campaign members added up to the end of the week, those who ever responded.
-- A response counts whenever it came: the members are the cohort.
WITH weeks AS (
  SELECT CAST(value AS DATE) AS period_start, CAST(value AS DATE) + INTERVAL '7 days' AS next_start
  FROM generate_series(DATE '2023-01-02', DATE '2025-12-22', INTERVAL '7 days')
)
SELECT
  weeks.period_start,
  CAST(count(first_responded_at) AS DOUBLE) / count(*) AS value
FROM weeks JOIN campaign_members ON CAST(added_at AT TIME ZONE 'America/New_York' AS DATE) < weeks.next_start
WHERE NOT is_deleted
GROUP BY weeks.period_start
