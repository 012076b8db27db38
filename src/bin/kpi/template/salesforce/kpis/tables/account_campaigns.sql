/* ---
table: account_campaigns
description: The campaign of the first deal that each account signed. It won the account, if it did not sign without any.
primary_key: account_id
--- */
WITH first_deals AS (
  SELECT account_id, first_value(campaign_id ORDER BY close_date, opportunity_id) AS campaign_id
  FROM opportunities
  WHERE is_won AND account_id IS NOT NULL
  GROUP BY account_id
)
SELECT first_deals.account_id, campaigns.campaign_id, campaigns.name, campaigns.channel
FROM first_deals
JOIN campaigns ON campaigns.campaign_id = first_deals.campaign_id
