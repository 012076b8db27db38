-- Defective units over inspected units, of the runs completed in the week.
WITH completed AS (
  -- These timestamps have no zone in the file; they are UTC.
  SELECT *, CAST(completed_at AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York' AS DATE) AS completed_on
  FROM process_runs
  WHERE completed_at IS NOT NULL AND NOT is_deleted
)
SELECT
  date_trunc('week', completed_on) AS period_start,
  CAST(sum(units_defective) AS DOUBLE) / nullif(sum(units_inspected), 0) AS value
FROM completed
GROUP BY 1
