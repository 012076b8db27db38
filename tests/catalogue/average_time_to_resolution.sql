-- Mean hours from opening to the last close, of the cases closed in the week.
SELECT
  date_trunc('week', CAST(closed_at AT TIME ZONE 'America/New_York' AS DATE)) AS period_start,
  avg(extract(epoch FROM closed_at) - extract(epoch FROM created_at)) / 3600 AS value
FROM cases
WHERE closed_at IS NOT NULL AND NOT is_deleted
GROUP BY 1
