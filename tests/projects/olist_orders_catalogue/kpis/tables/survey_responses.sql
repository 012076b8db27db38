/* ---
table: survey_responses
override: merge
description: Reviews are answers to a question that was sent, from 1 to 5. Questions that nobody answered are not in the data.
columns:
  sent_at: {type: date}
--- */
SELECT
  reviews.review_id AS response_id,
  'csat' AS survey_type,
  'email' AS source,
  local_date(reviews.review_creation_date) AS sent_at,
  reviews.review_answer_timestamp AS responded_at,
  reviews.review_score AS score,
  5 AS scale_max,
  customers.customer_unique_id AS account_id,
  (SELECT max(review_answer_timestamp) FROM review_file) AS updated_at
FROM review_file AS reviews
LEFT JOIN order_file AS orders ON orders.order_id = reviews.order_id
LEFT JOIN customer_file AS customers ON customers.customer_id = orders.customer_id
