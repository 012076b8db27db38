/* ---
table: activities
override: merge
description: >-
  Calls and e-mails that were logged as done (Task), e-mails themselves (EmailMessage) and meetings (Event). An e-mail has a task
  of its own and counts once. What a record hangs on shows in the first three characters of its id.
--- */
WITH done AS (
  SELECT
    task_id AS activity_id,
    CASE kind WHEN 'Call' THEN 'call' WHEN 'Email' THEN 'email' WHEN 'ListEmail' THEN 'email' ELSE 'social' END AS activity_type,
    CASE WHEN kind = 'Call' THEN lower(call_direction) ELSE 'outbound' END AS direction,
    coalesce(completed_at, created_at) AS started_at,
    call_seconds AS talk_seconds,
    lower(replace(call_result, ' ', '_')) AS outcome,
    kind = 'ListEmail' AS is_automated,
    who_id,
    what_id,
    account_id,
    owner_id AS user_id,
    updated_at
  FROM task_export
  WHERE is_closed
    AND kind IN ('Call', 'Email', 'ListEmail', 'LinkedIn')
    AND (call_direction IS NULL OR call_direction <> 'Internal')
    AND task_id NOT IN (SELECT task_id FROM email_export WHERE task_id IS NOT NULL)
),
mail AS (
  SELECT
    email_export.email_id AS activity_id,
    'email' AS activity_type,
    CASE WHEN email_export.is_incoming THEN 'inbound' ELSE 'outbound' END AS direction,
    email_export.sent_at AS started_at,
    CAST(NULL AS BIGINT) AS talk_seconds,
    CAST(NULL AS TEXT) AS outcome,
    coalesce(email_export.automation = 'AiAutomated', false) OR email_export.created_by = {{ automated_user }} AS is_automated,
    task_export.who_id,
    coalesce(email_export.case_id, email_export.related_id, task_export.what_id) AS what_id,
    task_export.account_id,
    coalesce(task_export.owner_id, email_export.created_by) AS user_id,
    email_export.updated_at
  FROM email_export
  LEFT JOIN task_export ON task_export.task_id = email_export.task_id
),
meetings AS (
  SELECT
    event_id AS activity_id,
    'meeting' AS activity_type,
    CAST(NULL AS TEXT) AS direction,
    starts_at AS started_at,
    CAST(NULL AS BIGINT) AS talk_seconds,
    CAST(NULL AS TEXT) AS outcome,
    false AS is_automated,
    who_id,
    what_id,
    account_id,
    owner_id AS user_id,
    updated_at
  FROM event_export
),
together AS (
  SELECT * FROM done UNION ALL SELECT * FROM mail UNION ALL SELECT * FROM meetings
)
SELECT
  activity_id,
  activity_type,
  direction,
  started_at,
  talk_seconds,
  CAST(NULL AS BIGINT) AS hold_seconds,
  CAST(NULL AS BIGINT) AS wrap_seconds,
  CASE
    WHEN outcome LIKE '%no_answer%' THEN 'no_answer'
    WHEN outcome LIKE '%voicemail%' THEN 'voicemail'
    WHEN outcome LIKE '%abandon%' THEN 'abandoned'
    ELSE outcome
  END AS outcome,
  is_automated,
  CASE WHEN what_id LIKE '001%' THEN what_id ELSE account_id END AS account_id,
  CASE WHEN who_id LIKE '003%' THEN who_id END AS contact_id,
  CASE WHEN who_id LIKE '00Q%' THEN who_id END AS lead_id,
  CASE WHEN what_id LIKE '006%' THEN what_id END AS opportunity_id,
  CASE WHEN what_id LIKE '500%' THEN what_id END AS case_id,
  CASE WHEN what_id LIKE '701%' THEN what_id END AS campaign_id,
  user_id,
  updated_at
FROM together
