/* ---
table: starts
time: started_at
columns:
  started_at: {type: timestamp}
--- */
SELECT signed_on AS started_at FROM signups
