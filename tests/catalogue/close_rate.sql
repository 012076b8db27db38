-- Won over won and lost, by the month of the close.
SELECT date_trunc('month', close_date) AS period_start, avg(CASE WHEN is_won THEN 1.0 ELSE 0.0 END) AS value
FROM opportunities
WHERE is_closed AND NOT is_deleted
GROUP BY 1
