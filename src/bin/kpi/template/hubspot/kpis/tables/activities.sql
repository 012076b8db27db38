/* ---
table: activities
override: merge
description: Calls, e-mails, meetings and messages. Of several associated records the first one counts.
--- */
WITH together AS (
  SELECT
    call_id AS activity_id,
    'call' AS activity_type,
    lower(direction) AS direction,
    started_at,
    CAST(milliseconds / 1000 AS BIGINT) AS talk_seconds,
    CASE
      WHEN status IN ('NO_ANSWER', 'MISSED', 'BUSY', 'CANCELED', 'FAILED') THEN 'no_answer'
      WHEN disposition IN ('73a0d17f-1163-4015-bdd5-ec830791da20', '9d9162e7-6cf3-4944-bf63-4dff82258764') THEN 'no_answer'
      WHEN disposition IN ('b2cf5968-551e-4856-9783-52b3da59a7d0', 'a4c4c377-d246-4b32-a13b-75a56a4cd0ff') THEN 'voicemail'
      WHEN disposition = 'f240bbac-87c9-4f6e-bf70-924b57d47db7' THEN 'connected'
    END AS outcome,
    owner_id, contact_ids, company_ids, deal_ids, ticket_ids, updated_at
  FROM call_export
  UNION ALL
  SELECT
    email_id,
    'email',
    CASE WHEN direction = 'EMAIL' THEN 'outbound' ELSE 'inbound' END,
    started_at,
    NULL,
    NULL,
    owner_id, contact_ids, company_ids, deal_ids, ticket_ids, updated_at
  FROM email_export
  UNION ALL
  SELECT
    meeting_id,
    'meeting',
    NULL,
    started_at,
    NULL,
    lower(outcome),
    owner_id, contact_ids, company_ids, deal_ids, ticket_ids, updated_at
  FROM meeting_export
  UNION ALL
  SELECT
    message_id,
    CASE WHEN channel = 'SMS' THEN 'chat' ELSE 'social' END,
    'outbound',
    started_at,
    NULL,
    NULL,
    owner_id, contact_ids, company_ids, deal_ids, ticket_ids, updated_at
  FROM message_export
)
SELECT
  activity_id,
  activity_type,
  direction,
  started_at,
  talk_seconds,
  CAST(NULL AS BIGINT) AS hold_seconds,
  CAST(NULL AS BIGINT) AS wrap_seconds,
  outcome,
  false AS is_automated,
  nullif(split_part(company_ids, ';', 1), '') AS account_id,
  nullif(split_part(contact_ids, ';', 1), '') AS contact_id,
  nullif(split_part(contact_ids, ';', 1), '') AS lead_id,
  nullif(split_part(deal_ids, ';', 1), '') AS opportunity_id,
  nullif(split_part(ticket_ids, ';', 1), '') AS case_id,
  owner_id AS user_id,
  updated_at
FROM together
