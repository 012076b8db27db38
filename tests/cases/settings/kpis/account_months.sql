/* ---
table: account_months
time: month
--- */
SELECT account, period_start(day, 'month') AS month, sum(amount) * {{ share }} AS part
FROM orders
WHERE status = {{ counted }} AND ({{with_tests}} OR NOT is_test) AND '{{ share }}' = concat('{', '{ share }', '}')
GROUP BY account, period_start(day, 'month')
HAVING sum(amount) >= {{ large_from }} -- not {{ less }}
