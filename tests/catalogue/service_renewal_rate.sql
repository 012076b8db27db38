-- The renewal rate of services, by quarter.
SELECT
  date_trunc('quarter', due.term_end_date) AS period_start,
  CAST(count(successor.subscription_id) AS DOUBLE) / count(*) AS value
FROM subscriptions AS due
JOIN products ON products.product_id = due.product_id AND products.kind = 'service' AND NOT products.is_deleted
LEFT JOIN subscriptions AS successor
  ON successor.subscription_id = due.renewed_by_subscription_id
  AND successor.start_date <= due.term_end_date + INTERVAL '30 days'
  AND NOT successor.is_deleted
WHERE NOT due.is_deleted AND (due.end_date IS NULL OR due.end_date >= due.term_end_date)
GROUP BY 1
