-- Of the contracts whose term ended in the month and that reached it, those renewed up to the 30th day behind it.
SELECT
  date_trunc('month', due.term_end_date) AS period_start,
  CAST(count(successor.subscription_id) AS DOUBLE) / count(*) AS value
FROM subscriptions AS due
LEFT JOIN subscriptions AS successor
  ON successor.subscription_id = due.renewed_by_subscription_id
  AND successor.start_date <= due.term_end_date + INTERVAL '30 days'
  AND NOT successor.is_deleted
WHERE NOT due.is_deleted AND (due.end_date IS NULL OR due.end_date >= due.term_end_date)
GROUP BY 1
