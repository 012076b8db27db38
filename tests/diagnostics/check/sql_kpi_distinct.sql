/* ---
kpi: with_distinct
by: [region]
minimum_n: 5
--- */
SELECT DISTINCT period(order_date) AS period, region, sum(amount) OVER (PARTITION BY period(order_date), region) AS value
FROM orders
