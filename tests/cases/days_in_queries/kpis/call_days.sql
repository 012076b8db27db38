/* ---
table: call_days
time: day
--- */
SELECT local_date(called_at) AS day, days_between(called_at, answered_at) AS waited
FROM calls
