/* ---
table: case_reopenings
description: When a case last went from a closed status back to an open one.
primary_key: case_id
--- */
SELECT history.case_id, max(history.changed_at) AS reopened_at
FROM case_history_export AS history
JOIN case_status_export AS old ON old.status = history.old_value
JOIN case_status_export AS new ON new.status = history.new_value
WHERE old.is_closed AND NOT new.is_closed
GROUP BY history.case_id
