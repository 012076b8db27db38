/* ---
kpi: best_month
--- */
SELECT 1 AS value
