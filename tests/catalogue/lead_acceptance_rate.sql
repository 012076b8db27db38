-- Of the leads that marketing qualified in the month, those that sales accepted up to the 14th day.
WITH handed_over AS (
  SELECT
    CAST(mql_at AT TIME ZONE 'America/New_York' AS DATE) AS qualified_on,
    CAST(sal_at AT TIME ZONE 'America/New_York' AS DATE) AS accepted_on
  FROM leads
  WHERE mql_at IS NOT NULL AND NOT is_deleted AND NOT is_duplicate
)
SELECT
  date_trunc('month', qualified_on) AS period_start,
  CAST(count(*) FILTER (WHERE accepted_on - qualified_on BETWEEN 0 AND 14) AS DOUBLE) / count(*) AS value
FROM handed_over
GROUP BY 1
