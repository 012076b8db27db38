-- How far four numbers of the week have come, of the targets that the KPIs have: satisfaction 84 %, first contact
-- resolution 70 %, first response 75 minutes, resolution 48 hours; of the last two less is better. All weigh the same.
WITH satisfaction AS (
  SELECT
    date_trunc('week', CAST(responded_at AT TIME ZONE 'America/New_York' AS DATE)) AS period_start,
    CAST(count(*) FILTER (WHERE score >= scale_max - 1) AS DOUBLE) / count(*) AS value
  FROM survey_responses
  WHERE survey_type = 'csat' AND score IS NOT NULL AND responded_at IS NOT NULL AND NOT is_deleted
  GROUP BY 1
),
closed AS (
  SELECT
    cases.case_id,
    date_trunc('week', CAST(closed_at AT TIME ZONE 'America/New_York' AS DATE)) AS period_start,
    origin,
    extract(epoch FROM closed_at) - extract(epoch FROM created_at) AS seconds,
    reopened_at IS NULL AND coalesce(contacts.contacts, 0) <= 1 AS at_first
  FROM cases
  LEFT JOIN (
    SELECT case_id, count(*) AS contacts FROM activities WHERE direction = 'inbound' AND NOT is_deleted GROUP BY case_id
  ) AS contacts ON contacts.case_id = cases.case_id
  WHERE closed_at IS NOT NULL AND NOT is_deleted
),
answered AS (
  SELECT
    date_trunc('week', CAST(created_at AT TIME ZONE 'America/New_York' AS DATE)) AS period_start,
    (extract(epoch FROM first_response_at) - extract(epoch FROM created_at)) / 60 AS minutes
  FROM cases
  WHERE first_response_at >= created_at AND origin IN ('email', 'chat', 'web') AND NOT is_deleted
),
ranked AS (
  SELECT
    *,
    row_number() OVER (PARTITION BY period_start ORDER BY minutes) AS place,
    count(*) OVER (PARTITION BY period_start) AS answers
  FROM answered
),
ways AS (
  SELECT period_start, 1 AS weight, value / 0.84 AS way FROM satisfaction
  UNION ALL
  SELECT period_start, 1, avg(CASE WHEN at_first THEN 1.0 ELSE 0.0 END) / 0.70 FROM closed GROUP BY period_start
  UNION ALL
  SELECT period_start, 1, 48 / nullif(avg(seconds) / 3600, 0) FROM closed GROUP BY period_start
  UNION ALL
  SELECT period_start, 1, CASE WHEN avg(minutes) = 0 THEN 1.2 ELSE 75 / avg(minutes) END
  FROM ranked
  WHERE 2 * place BETWEEN answers AND answers + 2
  GROUP BY period_start
)
-- A part goes at most to 1.2; without half of the weights there is no index. The targets hold from 2024 on.
SELECT
  period_start,
  CASE WHEN 2 * sum(weight) >= 4 THEN 100 * sum(weight * least(way, 1.2)) / sum(weight) END AS value
FROM ways
WHERE way IS NOT NULL AND period_start >= DATE '2024-01-01'
GROUP BY period_start
