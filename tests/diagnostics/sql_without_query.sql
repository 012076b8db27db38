/* ---
kpi: revenue
--- */
