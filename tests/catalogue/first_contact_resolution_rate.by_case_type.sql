-- First contact resolution by kind of case.
WITH closed AS (
  SELECT
    case_id,
    case_type,
    reopened_at,
    date_trunc('week', CAST(closed_at AT TIME ZONE 'America/New_York' AS DATE)) AS period_start
  FROM cases
  WHERE closed_at IS NOT NULL AND NOT is_deleted
),
contacts AS (
  SELECT case_id, count(*) AS contacts
  FROM activities
  WHERE direction = 'inbound' AND case_id IS NOT NULL AND NOT is_deleted
  GROUP BY case_id
)
SELECT
  period_start,
  case_type,
  CAST(count(*) FILTER (WHERE reopened_at IS NULL AND (contacts IS NULL OR contacts < 2)) AS DOUBLE) / count(*) AS value
FROM closed LEFT JOIN contacts USING (case_id)
GROUP BY period_start, case_type
