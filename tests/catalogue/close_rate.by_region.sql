-- Close rate by region of the account.
SELECT date_trunc('month', close_date) AS period_start, region, avg(CASE WHEN is_won THEN 1.0 ELSE 0.0 END) AS value
FROM opportunities
LEFT JOIN accounts
  ON accounts.account_id = opportunities.account_id AND NOT accounts.is_deleted AND accounts.name NOT LIKE 'TEST %'
WHERE is_closed AND NOT opportunities.is_deleted
GROUP BY 1, 2
