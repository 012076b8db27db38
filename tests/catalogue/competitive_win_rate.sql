-- Of the deals of the quarter with a named competitor that were closed, those won.
SELECT
  date_trunc('quarter', close_date) AS period_start,
  CAST(count(*) FILTER (WHERE is_won) AS DOUBLE)
    / (count(*) FILTER (WHERE is_won) + count(*) FILTER (WHERE NOT is_won)) AS value
FROM opportunities
WHERE is_closed AND primary_competitor IS NOT NULL AND NOT is_deleted
GROUP BY 1
