/* ---
kpi: gap
from: orders
where: paid
value: count(*)
window: 90 days
per: account_id
columns: {orders: count(*)}
fill: zero
--- */
SELECT period(order_date) AS period, sum(amount) AS value
FROM orders
GROUP BY 1
