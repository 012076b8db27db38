/* ---
table: account_totals
primary_key: account_id
time: last_day
joins:
  account: {table: accounts, on: account_id}
dimensions:
  region: account.region
--- */
SELECT account_id, max(day) AS last_day, sum(amount) AS total, count(*) AS orders
FROM orders
GROUP BY account_id
