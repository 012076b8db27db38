-- Seconds of talk, hold and wrap-up over the calls, mails and chats about cases that somebody handled, by the week
-- in which the work ended. A missing part is 0; where all are missing, nobody measured.
WITH handled AS (
  SELECT started_at, coalesce(talk_seconds, 0) + coalesce(hold_seconds, 0) + coalesce(wrap_seconds, 0) AS seconds
  FROM activities
  WHERE activity_type IN ('call', 'email', 'chat')
    AND case_id IS NOT NULL
    AND (outcome IS NULL OR outcome NOT IN ('abandoned', 'no_answer', 'voicemail', 'no_show'))
    AND (talk_seconds IS NOT NULL OR hold_seconds IS NOT NULL OR wrap_seconds IS NOT NULL)
    AND NOT is_deleted
),
ended AS (
  SELECT seconds, to_timestamp_seconds(CAST(extract(epoch FROM started_at) AS BIGINT) + seconds) AS ended_at
  FROM handled
)
SELECT
  date_trunc('week', CAST(ended_at AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York' AS DATE)) AS period_start,
  CAST(sum(seconds) AS DOUBLE) / count(*) AS value
FROM ended
GROUP BY 1
