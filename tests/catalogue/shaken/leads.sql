-- More leads are deleted or duplicates, sources are spelled worse, stamps lie at the edges of the windows, and several
-- leads belong to one account.
SELECT * EXCLUDE (number, inside, late) REPLACE (
  is_deleted OR (inside AND number % 23 = 0) AS is_deleted,
  is_duplicate OR (inside AND number % 19 = 0) AS is_duplicate,
  CASE
    WHEN NOT inside THEN lead_source
    WHEN number % 17 = 0 THEN NULL
    WHEN number % 11 = 0 THEN ' ' || upper(lead_source) || ' '
    ELSE lead_source
  END AS lead_source,
  CASE WHEN number % 13 = 0 THEN NULL ELSE score END AS score,
  CASE
    WHEN inside AND created_at < '2025-03-01' AND number % 5 = 0 AND sal_at IS NOT NULL AND mql_at IS NOT NULL
      THEN mql_at + late + CASE WHEN number % 2 = 0 THEN INTERVAL '14 days' ELSE INTERVAL '15 days' END
    ELSE sal_at + late
  END AS sal_at,
  CASE
    WHEN inside AND created_at < '2025-03-01' AND number % 5 = 0 THEN sql_at + late + INTERVAL '16 days'
    WHEN inside AND created_at < '2025-03-01' AND number % 4 = 0 AND sql_at IS NOT NULL
      THEN created_at + late + CASE number % 3
        WHEN 0 THEN INTERVAL '89 days'
        WHEN 1 THEN INTERVAL '90 days'
        ELSE INTERVAL '91 days'
      END
    ELSE sql_at + late
  END AS sql_at,
  CASE
    WHEN inside AND created_at < '2025-03-01' AND number % 5 = 0 AND sql_at IS NOT NULL AND converted_at IS NOT NULL
      THEN sql_at + late + CASE number % 3
        WHEN 0 THEN INTERVAL '105 days'
        WHEN 1 THEN INTERVAL '106 days'
        ELSE INTERVAL '107 days'
      END
    WHEN inside AND created_at < '2025-03-01' AND number % 4 = 0 THEN converted_at + late + INTERVAL '93 days'
    ELSE converted_at + late
  END AS converted_at,
  CASE
    WHEN converted_account_id IS NULL AND number % 4 = 0 THEN 'A' || lpad(CAST(1 + number % 397 AS VARCHAR), 6, '0')
    ELSE converted_account_id
  END AS converted_account_id,
  created_at + late AS created_at,
  first_response_at + late AS first_response_at,
  mql_at + late AS mql_at,
  disqualified_at + late AS disqualified_at
)
FROM (
  SELECT
    *,
    CASE
      WHEN NOT inside THEN INTERVAL '0 hours'
      WHEN number % 3 = 0 THEN INTERVAL '7 hours'
      WHEN number % 3 = 1 THEN INTERVAL '55 hours'  -- from the afternoon of a Friday to the evening of the Sunday
      ELSE INTERVAL '0 hours'
    END AS late
  FROM (
    SELECT
      *,
      CAST(right(lead_id, 6) AS INT) AS number,
      created_at >= '2023-03-05' AND created_at < '2025-11-20' AS inside
    FROM leads
  )
)
