"""Compares the bundled KPIs with the same numbers by SQL written by hand, run by DuckDB.

    pip install duckdb
    cargo build --locked
    python tests/duckdb/compare.py                  # options: --accounts 2000 --seed 7 --folder DIR --kpi target/debug/kpi

It makes data with `kpi generate`, runs the KPIs below over it, those of `shapes.yaml` among them, computes each of them once
more with DuckDB at its default grain, overall and for one dimension, and compares every value. Data and results stay in
`--folder`, if one is named, and are taken from there the next time. The queries follow the formulas, not the way in which
`kpi` computes them: `p` is a period with its first day and the day behind its last one, and `{member}` stands where the
dimension goes."""

import argparse
import datetime
import math
import pathlib
import shutil
import subprocess
import sys
import tempfile

try:
    import duckdb
except ImportError:
    print("skipped: there is no DuckDB; `pip install duckdb` brings its Python package")
    sys.exit(0)

ROOT = pathlib.Path(__file__).resolve().parents[2]
AS_OF = datetime.date(2025, 12, 31)  # the last day of the data
ZONE = "America/New_York"

# Every table as a KPI sees it: deleted rows, duplicates and tries are gone, and days are those of New York.
TABLES = """
CREATE MACRO local(instant) AS CAST(timezone('{zone}', instant) AS DATE);
CREATE VIEW accounts AS SELECT * FROM read_csv('{data}/accounts.csv') WHERE NOT is_deleted AND name NOT LIKE 'TEST %';
CREATE VIEW campaigns AS SELECT * FROM read_csv('{data}/campaigns.csv') WHERE NOT is_deleted;
CREATE VIEW products AS SELECT * FROM read_csv('{data}/products.csv') WHERE NOT is_deleted;
CREATE VIEW users AS SELECT * FROM read_csv('{data}/users.csv') WHERE NOT is_deleted;
CREATE VIEW quotas AS SELECT * FROM read_csv('{data}/quotas.csv') WHERE NOT is_deleted;
CREATE VIEW gl AS SELECT * FROM read_csv('{data}/gl_balances.csv') WHERE NOT is_deleted;
CREATE VIEW costs AS SELECT * FROM read_csv('{data}/campaign_costs.csv', delim = ';', nullstr = '-', dateformat = '%d/%m/%Y')
  WHERE NOT is_deleted;
CREATE VIEW runs AS SELECT *, local(completed_at) AS completed_on FROM read_csv('{data}/process_runs.csv.gz')
  WHERE NOT is_deleted;
CREATE VIEW leads AS
  SELECT *, local(created_at) AS created_on, coalesce(replace(lower(trim(lead_source)), '-', ''), 'unknown') AS source
  FROM '{data}/leads/*.parquet' WHERE NOT is_deleted AND NOT is_duplicate;
CREATE VIEW opportunities AS
  SELECT *, local(created_at) AS created_on, CASE WHEN is_closed THEN close_date END AS closed_on
  FROM '{data}/opportunities/*.parquet' WHERE NOT is_deleted;
CREATE VIEW history AS
  SELECT *, local(entered_at) AS entered_on, local(exited_at) AS exited_on
  FROM '{data}/opportunity_stage_history/*.parquet' WHERE NOT is_deleted;
CREATE VIEW orders AS SELECT * FROM '{data}/orders/*.parquet' WHERE NOT is_deleted;
CREATE VIEW items AS SELECT * FROM '{data}/order_items/*.parquet' WHERE NOT is_deleted;
CREATE VIEW subscriptions AS SELECT * FROM '{data}/subscriptions/*.parquet' WHERE NOT is_deleted;
CREATE VIEW members AS SELECT * FROM '{data}/campaign_members/*.parquet' WHERE NOT is_deleted;
CREATE VIEW cases AS
  SELECT *, local(created_at) AS created_on, local(closed_at) AS closed_on
  FROM '{data}/cases/*.parquet' WHERE NOT is_deleted;
CREATE VIEW surveys AS
  SELECT *, local(sent_at) AS sent_on, local(responded_at) AS responded_on
  FROM '{data}/survey_responses/*.parquet' WHERE NOT is_deleted;
CREATE VIEW activities AS
  SELECT *, local(started_at) AS started_on FROM '{data}/activities/*/*.parquet' WHERE NOT is_deleted;
CREATE VIEW sessions AS
  SELECT *, local(started_at) AS started_on FROM '{data}/web_sessions/*/*.parquet' WHERE NOT is_deleted;

-- A contract begins a new time as a customer where no other contract of the account ran in the 30 days before.
CREATE TABLE customer_periods AS
WITH contracts AS (
  SELECT subscription_id AS id, account_id, start_date AS begins, coalesce(end_date, DATE '9999-12-31') AS ends
  FROM subscriptions WHERE end_date IS NULL OR end_date > start_date
), starts AS (
  SELECT DISTINCT account_id, begins FROM contracts c
  WHERE NOT EXISTS (
    FROM contracts o
    WHERE o.account_id = c.account_id AND o.begins < c.begins AND o.ends + 30 >= c.begins
  )
), bounded AS (
  SELECT *, coalesce(lead(begins) OVER (PARTITION BY account_id ORDER BY begins), DATE '9999-12-31') AS next FROM starts
)
SELECT s.account_id, s.begins AS valid_from, nullif(max(c.ends), DATE '9999-12-31') AS valid_to
FROM bounded s JOIN contracts c ON c.account_id = s.account_id AND c.begins >= s.begins AND c.begins < s.next
GROUP BY ALL;
CREATE TABLE customers AS
  SELECT account_id, min(valid_from) AS first_day FROM customer_periods GROUP BY account_id HAVING first_day <= DATE '{as_of}';

CREATE VIEW sales AS
  SELECT i.*, o.account_id, o.order_date, o.order_type, o.status, coalesce(o.campaign_id, d.campaign_id) AS campaign_id
  FROM items i JOIN orders o USING (order_id) LEFT JOIN opportunities d USING (opportunity_id)
  WHERE o.status = 'completed';
CREATE VIEW purchases AS
  SELECT o.*, coalesce(o.campaign_id, d.campaign_id) AS attributed_to
  FROM orders o LEFT JOIN opportunities d USING (opportunity_id)
  WHERE o.status = 'completed' AND o.order_type <> 'credit';

CREATE TABLE periods AS
  SELECT 'day' AS grain, CAST(day AS DATE) AS first, CAST(day AS DATE) + 1 AS behind
  FROM range(DATE '2022-01-01', DATE '{as_of}' + 1, INTERVAL 1 DAY) AS days(day)
  UNION ALL
  SELECT grain, CAST(start AS DATE), CAST(start + step AS DATE)
  FROM (VALUES ('week', DATE '2022-01-03', INTERVAL 7 DAY), ('month', DATE '2022-01-01', INTERVAL 1 MONTH),
               ('quarter', DATE '2022-01-01', INTERVAL 3 MONTH), ('year', DATE '2022-01-01', INTERVAL 1 YEAR))
       AS grains(grain, origin, step),
       LATERAL (SELECT unnest(generate_series(origin, DATE '{as_of}', step)) AS start)
  WHERE CAST(start + step AS DATE) <= DATE '{as_of}' + 1;
"""

# Accounts of each period that were customers the day before it, on its last day, or both.
BOTH_ENDS = """
  SELECT p.grain, p.first, p.behind, c.account_id,
    bool_or(c.valid_from < p.first AND coalesce(c.valid_to >= p.first, true)) AS was,
    bool_or(c.valid_from < p.behind AND coalesce(c.valid_to >= p.behind, true)) AS is
  FROM periods p, customer_periods c GROUP BY ALL
"""
# The monthly revenue of each account the day before each period and on its last day.
REVENUE_AT_BOTH_ENDS = """
  SELECT p.grain, p.first, p.behind, s.account_id,
    sum(s.mrr) FILTER (s.start_date < p.first AND coalesce(s.end_date >= p.first, true)) AS before,
    sum(s.mrr) FILTER (s.start_date < p.behind AND coalesce(s.end_date >= p.behind, true)) AS after
  FROM periods p, subscriptions s GROUP BY ALL
"""
# What each lead entered and when; a missing stamp is that of the next step.
LEAD_STEPS = """
  SELECT lead_id, source, s.step, s.entered, s.next
  FROM (
    SELECT *, local(converted_at) AS c, local(coalesce(sql_at, converted_at)) AS q,
      local(coalesce(sal_at, sql_at, converted_at)) AS a, local(coalesce(mql_at, sal_at, sql_at, converted_at)) AS m
    FROM leads
  ), LATERAL (VALUES ('1 created', created_on, m), ('2 qualified by marketing', m, a), ('3 accepted by sales', a, q),
                     ('4 qualified by sales', q, c)) AS s(step, entered, next)
"""
OPEN_THEN = "o.created_on < p.behind AND coalesce(o.closed_on >= p.behind, true)"


def events(rows, day, value, where="true"):
    """A KPI over rows that each lie in one period, by their day."""
    return f"""
        SELECT p.first, {{member}}, {value} FROM periods p JOIN {rows} ON {day} >= p.first AND {day} < p.behind
        WHERE p.grain = '{{grain}}' AND {where} GROUP BY ALL"""


def deals(value, where):
    rows = "(opportunities o LEFT JOIN accounts a USING (account_id))"
    return events(rows, "o.close_date", value, where)


def ledger(value):
    return events("gl", "period_end", value)


def boundaries(value):
    return f"""
        SELECT b.first, {{member}}, {value} FROM ({BOTH_ENDS}) b LEFT JOIN accounts a USING (account_id)
        WHERE b.grain = '{{grain}}' AND (b.was OR b.is) GROUP BY ALL"""


def revenue_boundaries(value):
    return f"""
        SELECT b.first, {{member}}, {value} FROM ({REVENUE_AT_BOTH_ENDS}) b LEFT JOIN accounts a USING (account_id)
        WHERE b.grain = '{{grain}}' GROUP BY ALL"""


SALES = "(sales s LEFT JOIN accounts a USING (account_id) LEFT JOIN products r USING (product_id))"
PURCHASES = "(purchases o LEFT JOIN accounts a USING (account_id))"
SURVEYS = "(surveys s LEFT JOIN accounts a USING (account_id) LEFT JOIN products r USING (product_id))"
LEADS = "(leads l LEFT JOIN campaigns c USING (campaign_id))"
CASES = "(cases c LEFT JOIN users u ON u.user_id = c.owner_id)"
ACTIVITIES = "(activities t LEFT JOIN users u USING (user_id))"
HANDLED = "coalesce(t.outcome NOT IN ('abandoned', 'no_answer', 'voicemail', 'no_show'), true)"
CALL = f"t.activity_type = 'call' AND t.direction = 'inbound' AND t.case_id IS NOT NULL AND {HANDLED}"

# KPI: grain, the name of the dimension, its expression, the query. Without a query for overall, the dimension is required.
KPIS = {
    # Levels, and who is there at both ends.
    "active_customers": ("month", "segment", "a.segment", f"""
        SELECT p.first, {{member}}, count(DISTINCT c.account_id)
        FROM periods p JOIN customer_periods c ON c.valid_from < p.behind AND coalesce(c.valid_to >= p.behind, true)
        LEFT JOIN accounts a USING (account_id) WHERE p.grain = '{{grain}}' GROUP BY ALL"""),
    "retained_customers": ("month", "region", "a.region", boundaries("count(*) FILTER (b.was AND b.is)")),
    "customer_retention_rate": ("month", "segment", "a.segment", boundaries(
        "(count(*) FILTER (b.is) - count(*) FILTER (b.is AND NOT b.was)) / nullif(count(*) FILTER (b.was), 0)")),
    "churned_customers": ("month", "segment", "a.segment", boundaries("count(*) FILTER (b.was AND NOT b.is)")),
    "customer_churn_rate": ("month", "region", "a.region", boundaries(
        "count(*) FILTER (b.was AND NOT b.is) / nullif(count(*) FILTER (b.was), 0)")),
    "campaign_customer_retention_rate": ("quarter", "acquisition_campaign", "c.name", f"""
        SELECT b.first, {{member}}, count(*) FILTER (b.was AND b.is) / nullif(count(*) FILTER (b.was), 0)
        FROM ({BOTH_ENDS}) b LEFT JOIN accounts a USING (account_id)
        LEFT JOIN campaigns c ON c.campaign_id = a.acquisition_campaign_id
        WHERE b.grain = '{{grain}}' AND (b.was OR b.is) GROUP BY ALL"""),
    "net_revenue_retention": ("month", "segment", "a.segment", revenue_boundaries(
        "sum(coalesce(b.after, 0)) FILTER (b.before IS NOT NULL) / sum(b.before)")),
    "gross_revenue_retention": ("month", "segment", "a.segment", revenue_boundaries(
        "sum(CASE WHEN b.after < b.before THEN b.after WHEN b.after IS NULL THEN 0 ELSE b.before END)"
        " FILTER (b.before IS NOT NULL) / sum(b.before)")),
    "mrr": ("month", "product", "r.name", f"""
        SELECT p.first, {{member}}, sum(s.mrr)
        FROM periods p JOIN subscriptions s ON s.start_date < p.behind AND coalesce(s.end_date >= p.behind, true)
        LEFT JOIN products r USING (product_id) WHERE p.grain = '{{grain}}' GROUP BY ALL"""),
    "referenceability_rate": ("month", "segment", "a.segment", f"""
        SELECT p.first, {{member}}, count(DISTINCT c.account_id) FILTER (
            a.referenceable_since < p.behind AND coalesce(a.referenceable_until >= p.behind, true)
          ) / count(DISTINCT c.account_id)
        FROM periods p JOIN customer_periods c ON c.valid_from < p.behind AND coalesce(c.valid_to >= p.behind, true)
        LEFT JOIN accounts a USING (account_id) WHERE p.grain = '{{grain}}' GROUP BY ALL"""),
    "open_opportunities": ("week", "deal_type", "o.type", f"""
        SELECT p.first, {{member}}, count(*) FROM periods p JOIN opportunities o ON {OPEN_THEN}
        WHERE p.grain = '{{grain}}' GROUP BY ALL"""),
    "open_pipeline_value": ("week", "deal_type", "o.type", f"""
        SELECT p.first, {{member}}, sum(coalesce((
          SELECT last(h.amount ORDER BY h.entered_at, h.history_id) FROM history h
          WHERE h.opportunity_id = o.opportunity_id AND h.entered_on < p.behind AND h.stage NOT LIKE 'closed%'), o.amount))
        FROM periods p JOIN opportunities o ON {OPEN_THEN} WHERE p.grain = '{{grain}}' GROUP BY ALL"""),
    "overdue_open_opportunities": ("week", "representative", "u.name", f"""
        SELECT p.first, {{member}}, count(*) FROM periods p JOIN opportunities o ON {OPEN_THEN}
        LEFT JOIN users u ON u.user_id = o.owner_id
        WHERE p.grain = '{{grain}}' AND coalesce((
          SELECT last(h.close_date ORDER BY h.entered_at, h.history_id) FROM history h
          WHERE h.opportunity_id = o.opportunity_id AND h.entered_on < p.behind AND h.stage NOT LIKE 'closed%'), o.close_date)
          < p.behind
        GROUP BY ALL"""),
    "current_ratio": ("month", None, None, """
        SELECT p.first, NULL, sum(g.closing_balance) FILTER (g.gl_class = 'current_assets')
          / sum(g.closing_balance) FILTER (g.gl_class = 'current_liabilities')
        FROM periods p JOIN gl g ON g.period_end = p.behind - 1 WHERE p.grain = '{grain}' GROUP BY ALL"""),
    # Cohorts by age.
    "cohort_retention_rate": ("month", "age", "k.age", """
        SELECT p.first, k.age, count(*) FILTER (EXISTS (
            FROM customer_periods a WHERE a.account_id = c.account_id
              AND a.valid_from < p.first + to_months(CAST(k.age + 1 AS INTEGER))
              AND coalesce(a.valid_to >= p.first + to_months(CAST(k.age + 1 AS INTEGER)), true))) / count(*)
        FROM periods p JOIN customers c ON c.first_day >= p.first AND c.first_day < p.behind, range(13) k(age)
        WHERE p.grain = 'month' AND p.first + to_months(CAST(k.age + 1 AS INTEGER)) <= DATE '2026-01-01' GROUP BY ALL"""),
    # Counts and sums of events.
    "new_customers": ("month", "region", "a.region", events(
        f"(customers c LEFT JOIN accounts a USING (account_id))", "c.first_day", "count(*)")),
    "churn_events": ("month", "segment", "a.segment", events(
        "(customer_periods c LEFT JOIN accounts a USING (account_id))", "c.valid_to", "count(*)")),
    "campaign_customers": ("month", "acquisition_campaign", "g.name", events(
        "(customers c JOIN accounts a USING (account_id) JOIN campaigns g ON g.campaign_id = a.acquisition_campaign_id)",
        "c.first_day", "count(*)")),
    "purchases": ("month", "segment", "a.segment", events(PURCHASES, "o.order_date", "count(*)")),
    "total_revenue": ("month", "region", "a.region", events(SALES, "s.order_date", "sum(s.net_amount)")),
    "new_revenue": ("month", "segment", "a.segment", events(
        SALES, "s.order_date", "sum(s.net_amount)", "s.order_type = 'new_business'")),
    "recurring_revenue": ("month", "product", "r.name", events(SALES, "s.order_date", "sum(s.net_amount)", "s.is_recurring")),
    "gross_profit": ("month", "product_family", "r.family", events(
        SALES, "s.order_date", "sum(s.net_amount - s.cost_amount)")),
    "new_leads": ("week", "lead_source", "l.source", events(LEADS, "l.created_on", "count(*)")),
    "new_leads_by_product": ("month", "product", "coalesce(r.name, '(none)')", events(
        "(leads l LEFT JOIN products r USING (product_id))", "l.created_on", "count(*)", "r.kind IS DISTINCT FROM 'other'")),
    "referral_leads": ("month", "referring_segment", "f.segment", events(
        "(leads l LEFT JOIN accounts f ON f.account_id = l.referred_by_account_id)", "l.created_on", "count(*)", "(l.referred_by_account_id IS NOT NULL OR l.source = 'referral')")),
    "qualified_leads": ("week", "lead_source", "l.source", events(LEADS, "local(l.sql_at)", "count(*)")),
    "campaign_leads": ("month", "campaign_channel", "c.channel", events(
        LEADS, "l.created_on", "count(*)", "l.campaign_id IS NOT NULL")),
    "campaign_responses": ("week", "campaign_channel", "c.channel", events(
        "(members m LEFT JOIN campaigns c USING (campaign_id))", "local(m.first_responded_at)", "count(*)")),
    "campaign_cost": ("month", "cost_type", "k.cost_type", events("costs k", "k.cost_date", "sum(k.amount)")),
    "campaign_purchases": ("month", "campaign", "c.name", events(
        "(purchases o LEFT JOIN campaigns c ON c.campaign_id = o.attributed_to)", "o.order_date", "count(*)",
        "o.attributed_to IS NOT NULL")),
    "campaign_revenue": ("month", "campaign_channel", "c.channel", events(
        "(sales s LEFT JOIN campaigns c USING (campaign_id))", "s.order_date", "sum(s.net_amount)",
        "s.campaign_id IS NOT NULL")),
    "service_requests": ("day", "case_type", "c.case_type", events(CASES, "c.created_on", "count(*)")),
    "cases_closed_same_day": ("day", "origin", "c.origin", events(
        CASES, "c.closed_on", "count(*)", "c.closed_on = c.created_on")),
    "service_calls": ("day", "agent", "u.name", events(ACTIVITIES, "t.started_on", "count(*)", CALL)),
    "calls_handled_without_escalation": ("week", "team", "u.team", events(
        ACTIVITIES, "t.started_on", "count(*) FILTER (NOT t.is_escalated)", CALL)),
    "customer_feedback_volume": ("week", "survey_type", "s.survey_type", events(SURVEYS, "s.responded_on", "count(*)")),
    "competitive_knockouts": ("quarter", "competitor", "o.primary_competitor", deals(
        "count(*)", "o.is_won AND o.primary_competitor IS NOT NULL")),
    "net_profit": ("month", None, None, ledger(
        "sum(CASE WHEN gl_class IN ('revenue', 'other_income') THEN movement_amount"
        " WHEN gl_class NOT LIKE 'current%' THEN -movement_amount END)")),
    "acquisition_expense": ("month", None, None, ledger(
        "sum(movement_amount) FILTER (gl_class IN ('sales_expense', 'marketing_expense'))")),
    # Ratios of sums and of counts.
    "gross_margin_rate": ("month", "region", "a.region", events(
        SALES, "s.order_date", "sum(s.net_amount - s.cost_amount) / nullif(sum(s.net_amount), 0)")),
    "average_purchase_value": ("month", "segment", "a.segment", """
        SELECT p.first, {member}, sum(v.revenue) / nullif(sum(v.purchases), 0)
        FROM periods p JOIN (
          SELECT account_id, order_date, net_amount AS revenue, 0 AS purchases FROM sales
          UNION ALL SELECT account_id, order_date, 0, 1 FROM purchases
        ) v ON v.order_date >= p.first AND v.order_date < p.behind LEFT JOIN accounts a USING (account_id)
        WHERE p.grain = '{grain}' GROUP BY ALL"""),
    "average_purchase_frequency": ("quarter", "segment", "a.segment", events(
        PURCHASES, "o.order_date", "count(*) / count(DISTINCT o.account_id)")),
    "customer_acquisition_cost": ("month", None, None, """
        SELECT p.first, NULL, (SELECT sum(movement_amount) FROM gl WHERE gl_class IN ('sales_expense', 'marketing_expense')
            AND period_end >= p.first AND period_end < p.behind)
          / nullif((SELECT count(*) FROM customers WHERE first_day >= p.first AND first_day < p.behind), 0)
        FROM periods p WHERE p.grain = '{grain}'"""),
    "cost_per_lead": ("month", "campaign_channel", "v.channel", """
        SELECT p.first, {member}, sum(v.cost) / nullif(sum(v.leads), 0)
        FROM periods p JOIN (
          SELECT channel, cost_date AS day, amount AS cost, 0 AS leads FROM costs LEFT JOIN campaigns USING (campaign_id)
          UNION ALL SELECT channel, created_on, 0, 1 FROM leads LEFT JOIN campaigns USING (campaign_id)
          WHERE campaign_id IS NOT NULL
        ) v ON v.day >= p.first AND v.day < p.behind WHERE p.grain = '{grain}' GROUP BY ALL"""),
    "website_conversion_rate": ("week", "device", "s.device", events(
        "sessions s", "s.started_on",
        "count(DISTINCT CASE WHEN s.goal_completed_at IS NOT NULL THEN s.visitor_id END) / count(DISTINCT s.visitor_id)")),
    "close_rate": ("month", "region", "a.region", deals("count(*) FILTER (o.is_won) / count(*)", "o.is_closed")),
    "sales_cycle_length": ("month", "channel", "o.channel", deals("avg(o.close_date - o.created_on)", "o.is_won")),
    "competitive_win_rate": ("quarter", "segment", "a.segment", deals(
        "count(*) FILTER (o.is_won) / count(*)", "o.is_closed AND o.primary_competitor IS NOT NULL")),
    "closed_opportunities": ("month", "deal_outcome", "CASE WHEN o.is_won THEN 'won' ELSE 'lost' END", deals(
        "count(*)", "o.is_closed")),
    "calls_per_opportunity": ("month", None, None, deals(
        "sum((SELECT count(*) FROM activities t WHERE t.opportunity_id = o.opportunity_id AND t.activity_type = 'call'"
        " AND t.started_on <= o.close_date)) / count(*)", "o.is_closed")),
    "sales_stage_duration": ("month", "stage", "h.stage", """
        SELECT v.first, v.stage, avg(v.days) FROM (
          SELECT p.first, h.stage, h.opportunity_id, sum(epoch(h.exited_at) - epoch(h.entered_at)) / 86400 AS days
          FROM periods p JOIN history h ON h.exited_on >= p.first AND h.exited_on < p.behind
          WHERE p.grain = '{grain}' GROUP BY ALL) v GROUP BY ALL"""),
    "customer_satisfaction_score": ("week", "segment", "a.segment", events(
        SURVEYS, "s.responded_on", "avg(CASE WHEN s.score >= s.scale_max - 1 THEN 1.0 ELSE 0 END)",
        "s.survey_type = 'csat' AND s.score IS NOT NULL")),
    "customer_effort_score": ("week", "product", "coalesce(r.name, '(none)')", events(
        SURVEYS, "s.responded_on", "avg(s.score)", "s.survey_type = 'ces' AND s.score IS NOT NULL")),
    "feedback_net_sentiment": ("week", "source", "s.source", events(
        SURVEYS, "s.responded_on", "avg(CASE s.sentiment WHEN 'positive' THEN 1.0 WHEN 'negative' THEN -1 ELSE 0 END)",
        "s.sentiment IS NOT NULL")),
    "net_promoter_score": ("quarter", "region", "a.region", events(
        SURVEYS, "s.responded_on", "avg(CASE WHEN s.score >= 9 THEN 100.0 WHEN s.score <= 6 THEN -100 ELSE 0 END)",
        "s.survey_type = 'nps' AND s.score IS NOT NULL")),
    "nps_by_product": ("quarter", "product", "coalesce(r.name, '(none)')", events(
        SURVEYS, "s.responded_on", "avg(CASE WHEN s.score >= 9 THEN 100.0 WHEN s.score <= 6 THEN -100 ELSE 0 END)",
        "s.survey_type = 'nps' AND s.score IS NOT NULL")),
    "average_lead_score": ("week", "lead_source", "l.source", events(LEADS, "l.created_on", "avg(l.score)")),
    "lead_response_coverage": ("week", "lead_source", "l.source", events(
        LEADS, "l.created_on", "count(l.first_response_at) / count(*)")),
    "same_day_closure_rate": ("day", "agent", "u.name", events(
        CASES, "c.created_on", "count(*) FILTER (c.closed_on = c.created_on) / count(*)")),
    "average_time_to_resolution": ("week", "team", "u.team", events(
        CASES, "c.closed_on", "avg(epoch(c.closed_at) - epoch(c.created_at)) / 3600")),
    "first_contact_resolution_rate": ("week", "origin", "c.origin", events(
        "(cases c LEFT JOIN (SELECT case_id, count(*) AS contacts FROM activities WHERE direction = 'inbound'"
        " GROUP BY case_id) i USING (case_id))", "c.closed_on",
        "avg(CASE WHEN coalesce(i.contacts, 0) <= 1 AND c.reopened_at IS NULL THEN 1.0 ELSE 0 END)")),
    "first_call_resolution_rate": ("week", "case_type", "c.case_type", events(
        "(cases c LEFT JOIN (SELECT case_id, count(*) AS contacts FROM activities WHERE direction = 'inbound'"
        " GROUP BY case_id) i USING (case_id))", "c.closed_on",
        "avg(CASE WHEN coalesce(i.contacts, 0) <= 1 AND c.reopened_at IS NULL THEN 1.0 ELSE 0 END)", "c.origin = 'phone'")),
    "average_handle_time": ("week", "channel", "t.activity_type", events(
        ACTIVITIES, "t.started_on",
        "sum(coalesce(t.talk_seconds, 0) + coalesce(t.hold_seconds, 0) + coalesce(t.wrap_seconds, 0))"
        " / nullif(count(coalesce(t.talk_seconds, t.hold_seconds, t.wrap_seconds)), 0)",
        f"t.case_id IS NOT NULL AND {HANDLED} AND t.activity_type IN ('call', 'email', 'chat')")),
    "escalation_rate": ("week", "team", "u.team", events(
        ACTIVITIES, "t.started_on", "avg(CASE WHEN t.is_escalated THEN 1.0 ELSE 0 END)", CALL)),
    "defect_rate": ("week", "process", "x.process_name", events(
        "runs x", "x.completed_on", "sum(x.units_defective) / nullif(sum(x.units_inspected), 0)")),
    "process_time": ("week", "process", "x.process_name", events(
        "runs x", "x.completed_on", "avg(epoch(x.completed_at) - epoch(x.started_at)) / 3600")),
    # Medians.
    "median_sales_cycle_length": ("month", "channel", "o.channel", deals(
        "median(o.close_date - o.created_on)", "o.is_won")),
    "lead_response_time": ("week", "lead_source", "l.source", events(
        LEADS, "l.created_on", "median(epoch(l.first_response_at) - epoch(l.created_at)) / 60")),
    "first_response_time": ("week", "origin", "c.origin", events(
        CASES, "c.created_on", "median(epoch(c.first_response_at) - epoch(c.created_at)) / 60",
        "c.origin IN ('email', 'chat', 'web')")),
    # One event after another.
    "lead_conversion_rate": ("month", "lead_source", "l.source", events(
        "(leads l LEFT JOIN customers c ON c.account_id = l.converted_account_id)", "l.created_on",
        "count(*) FILTER (c.first_day BETWEEN l.created_on AND l.created_on + 90) / count(*)")),
    "lead_qualification_rate": ("month", "lead_source", "l.source", events(
        LEADS, "l.created_on", "count(*) FILTER (local(l.sql_at) <= l.created_on + 90) / count(*)")),
    "lead_acceptance_rate": ("month", "lead_source", "l.source", events(
        LEADS, "local(l.mql_at)", "count(*) FILTER (local(l.sal_at) <= local(l.mql_at) + 14) / count(*)")),
    "lead_stage_conversion_rate": ("month", "step", "t.step", events(
        f"({LEAD_STEPS}) t", "t.entered", "count(*) FILTER (t.next <= t.entered + 90) / count(*)")),
    "sales_conversion_rate": ("month", "channel", "o.channel", events(
        "opportunities o", "o.created_on", "count(*) FILTER (o.is_won) / count(*)")),
    "survey_response_rate": ("week", "survey_type", "s.survey_type", events(
        "surveys s", "s.sent_on", "count(*) FILTER (s.responded_on <= s.sent_on + 14) / count(*)")),
    "renewal_rate": ("month", "product", "r.name", events(
        "(subscriptions s LEFT JOIN subscriptions n ON n.subscription_id = s.renewed_by_subscription_id"
        " LEFT JOIN products r ON r.product_id = s.product_id)", "s.term_end_date",
        "count(*) FILTER (n.start_date <= s.term_end_date + 30) / count(*)",
        "coalesce(s.end_date >= s.term_end_date, true)")),
    "service_renewal_rate": ("quarter", "product", "r.name", events(
        "(subscriptions s LEFT JOIN subscriptions n ON n.subscription_id = s.renewed_by_subscription_id"
        " LEFT JOIN products r ON r.product_id = s.product_id)", "s.term_end_date",
        "count(*) FILTER (n.start_date <= s.term_end_date + 30) / count(*)",
        "coalesce(s.end_date >= s.term_end_date, true) AND r.kind = 'service'")),
    "days_to_customer": ("month", "lead_source", "l.source", events(
        "(leads l JOIN customers c ON c.account_id = l.converted_account_id"
        " AND c.first_day BETWEEN l.created_on AND l.created_on + 365)", "c.first_day", "avg(c.first_day - l.created_on)")),
    "revenue_after_lead": ("month", "lead_source", "l.source", events(
        "leads l", "l.created_on",
        "coalesce(sum((SELECT sum(s.net_amount) FROM sales s WHERE s.account_id = l.converted_account_id"
        " AND s.order_date BETWEEN l.created_on AND l.created_on + 180)), 0) / count(*)")),
    "buyers_by_age": ("quarter", "age", "k.age", """
        SELECT p.first, k.age, count(*) FILTER (EXISTS (
            FROM purchases o WHERE o.account_id = f.account_id AND o.order_date >= p.first + to_months(3 * CAST(k.age AS INTEGER))
              AND o.order_date < p.first + to_months(3 * CAST(k.age AS INTEGER) + 3))) / count(*)
        FROM periods p JOIN (SELECT account_id, min(order_date) AS first_order FROM purchases GROUP BY account_id) f
          ON f.first_order >= p.first AND f.first_order < p.behind, range(5) k(age)
        WHERE p.grain = 'quarter' AND p.first + to_months(3 * CAST(k.age AS INTEGER) + 3) <= DATE '2026-01-01' GROUP BY ALL"""),
    # Windows and to date.
    "revenue_to_date": ("month", "region", "a.region", """
        SELECT p.first, {member}, sum(s.net_amount)
        FROM periods p JOIN sales s ON s.order_date >= date_trunc('year', p.first) AND s.order_date < p.behind
        LEFT JOIN accounts a USING (account_id) WHERE p.grain = '{grain}' GROUP BY ALL"""),
    "buyers_in_90_days": ("month", "segment", "a.segment", """
        SELECT p.first, {member}, count(DISTINCT o.account_id)
        FROM periods p JOIN purchases o ON o.order_date >= p.behind - 90 AND o.order_date < p.behind
        LEFT JOIN accounts a USING (account_id) WHERE p.grain = '{grain}' GROUP BY ALL"""),
    "repeat_purchase_rate": ("month", "segment", "v.segment", """
        SELECT v.first, {member}, count(*) FILTER (v.purchases >= 2) / count(*) FROM (
          SELECT p.first, a.segment, o.account_id, count(*) AS purchases
          FROM periods p JOIN purchases o ON o.order_date >= p.behind - 365 AND o.order_date < p.behind
          LEFT JOIN accounts a USING (account_id) WHERE p.grain = '{grain}' GROUP BY ALL) v
        GROUP BY ALL"""),
    "time_as_customer": ("quarter", "segment", "a.segment", """
        SELECT p.first, {member}, sum(least(coalesce(c.valid_to, p.behind), p.behind) - greatest(c.valid_from, p.first))
        FROM periods p JOIN customer_periods c ON c.valid_from < p.behind AND coalesce(c.valid_to > p.first, true)
        LEFT JOIN accounts a USING (account_id) WHERE p.grain = '{grain}' GROUP BY ALL"""),
    "customer_lifespan": ("quarter", "region", "a.region", """
        SELECT p.first, {member},
          sum(least(coalesce(c.valid_to, p.behind), p.behind) - greatest(c.valid_from, p.behind - 365))
          / nullif(count(*) FILTER (c.valid_to < p.behind), 0) / 365.25
        FROM periods p JOIN customer_periods c ON c.valid_from < p.behind AND coalesce(c.valid_to >= p.behind - 365, true)
        LEFT JOIN accounts a USING (account_id) WHERE p.grain = '{grain}' GROUP BY ALL"""),
    "customer_lifetime_value": ("quarter", "segment", "a.segment", """
        SELECT p.first, {member}, sum(v.revenue) / nullif(sum(v.purchases), 0)
          * (sum(v.purchases) / nullif(count(DISTINCT v.purchaser), 0)) * (sum(v.days) / nullif(sum(v.endings), 0) / 365.25)
        FROM periods p JOIN (
          SELECT p.first, p.grain, account_id, net_amount AS revenue, 0 AS purchases, NULL AS purchaser, 0 AS days, 0 AS endings
          FROM periods p JOIN sales ON order_date >= p.behind - 365 AND order_date < p.behind
          UNION ALL
          SELECT p.first, p.grain, account_id, 0, 1, account_id, 0, 0
          FROM periods p JOIN purchases ON order_date >= p.behind - 365 AND order_date < p.behind
          UNION ALL
          SELECT p.first, p.grain, account_id, 0, 0, NULL,
            least(coalesce(valid_to, p.behind), p.behind) - greatest(valid_from, p.behind - 365),
            CASE WHEN valid_to < p.behind THEN 1 ELSE 0 END
          FROM periods p JOIN customer_periods ON valid_from < p.behind AND coalesce(valid_to >= p.behind - 365, true)
        ) v ON v.first = p.first AND v.grain = p.grain LEFT JOIN accounts a ON a.account_id = v.account_id
        WHERE p.grain = '{grain}' GROUP BY ALL"""),
    "campaign_roi": ("month", "campaign", "c.name", """
        SELECT p.first, {member}, (sum(v.revenue) - sum(v.cost)) / nullif(sum(v.cost), 0)
        FROM periods p JOIN (
          SELECT campaign_id, order_date AS day, net_amount AS revenue, 0 AS cost FROM sales WHERE campaign_id IS NOT NULL
          UNION ALL SELECT campaign_id, cost_date, 0, amount FROM costs
        ) v ON v.day < p.behind LEFT JOIN campaigns c USING (campaign_id)
        WHERE p.grain = '{grain}' GROUP BY ALL"""),
    "campaign_conversion_rate": ("month", "campaign_channel", "c.channel", """
        SELECT p.first, {member}, count(m.first_responded_at) / count(*)
        FROM periods p JOIN members m ON local(m.added_at) < p.behind LEFT JOIN campaigns c USING (campaign_id)
        WHERE p.grain = '{grain}' GROUP BY ALL"""),
    # Arithmetic over another period.
    "revenue_growth_rate": ("month", "region", "v.region", """
        SELECT v.first, {member}, coalesce(sum(v.now), 0) / nullif(greatest(sum(v.before), 0), 0) - 1 FROM (
          SELECT p.first, a.region, s.net_amount AS now, NULL AS before
          FROM periods p JOIN sales s ON s.order_date >= p.first AND s.order_date < p.behind
          LEFT JOIN accounts a USING (account_id) WHERE p.grain = '{grain}'
          UNION ALL
          SELECT p.first, a.region, NULL, s.net_amount
          FROM periods p JOIN sales s ON s.order_date >= p.first - INTERVAL 1 MONTH AND s.order_date < p.first
          LEFT JOIN accounts a USING (account_id) WHERE p.grain = '{grain}') v
        GROUP BY ALL"""),
    "revenue_share": ("month", "region", "m.region", """
        SELECT v.first, m.region, coalesce(sum(v.net_amount) FILTER (v.region IS NOT DISTINCT FROM m.region), 0)
          / nullif(sum(v.net_amount), 0)
        FROM (
          SELECT p.first, a.region, s.net_amount
          FROM periods p JOIN sales s ON s.order_date >= p.first AND s.order_date < p.behind
          LEFT JOIN accounts a USING (account_id) WHERE p.grain = '{grain}'
        ) v, (SELECT DISTINCT a.region FROM sales LEFT JOIN accounts a USING (account_id)) m GROUP BY ALL"""),
    "revenue_against_last_year": ("month", "region", "v.region", """
        SELECT v.first, {member}, coalesce(sum(v.now), 0) / nullif(sum(v.before), 0) FROM (
          SELECT p.first, a.region, s.net_amount AS now, NULL AS before
          FROM periods p JOIN sales s ON s.order_date >= p.first AND s.order_date < p.behind
          LEFT JOIN accounts a USING (account_id) WHERE p.grain = '{grain}'
          UNION ALL
          SELECT p.first, a.region, NULL, s.net_amount
          FROM periods p JOIN sales s ON s.order_date + INTERVAL 1 YEAR >= p.first AND s.order_date + INTERVAL 1 YEAR < p.behind
            AND (month(s.order_date), year(s.order_date)) = (month(p.first), year(p.first) - 1)
          LEFT JOIN accounts a USING (account_id) WHERE p.grain = '{grain}') v
        GROUP BY ALL"""),
    "mrr_since_new_year": ("month", "segment", "a.segment", """
        SELECT p.first, {member},
          sum(s.mrr) FILTER (s.start_date < p.behind AND coalesce(s.end_date >= p.behind, true))
          / nullif(sum(s.mrr) FILTER (s.start_date < date_trunc('year', p.first) + INTERVAL 1 MONTH
            AND coalesce(s.end_date >= date_trunc('year', p.first) + INTERVAL 1 MONTH, true)), 0)
        FROM periods p, subscriptions s LEFT JOIN accounts a USING (account_id) WHERE p.grain = '{grain}' GROUP BY ALL"""),
    # Variants, funnels, percentiles and indices.
    "paid_share_of_leads": ("month", "region", "l.region", events(
        LEADS, "l.created_on", "count(*) FILTER (l.source = 'paid_ads') / count(*)")),
    "lead_funnel": ("month", "step", "t.step", events(
        """(SELECT created_on, s.* FROM (
              SELECT *, sql_at IS NOT NULL AS s3, s3 OR sal_at IS NOT NULL AS s2, s2 OR mql_at IS NOT NULL AS s1 FROM leads
            ), LATERAL (VALUES ('created', true, true), ('marketing', true, s1), ('accepted', s1, s2), ('sales', s2, s3))
              AS s(step, could, did)) t""",
        "t.created_on", "count(*) FILTER (t.did) / count(*)", "t.could")),
    "large_deals": ("month", "region", "a.region", deals("quantile_cont(CAST(o.amount AS DOUBLE), 0.9)", "o.is_won")),
    "service_index": ("month", "team", "v.team", """
        SELECT first, member, CASE WHEN sum(weight) >= 0.5 THEN 100 * sum(weight * attained) / sum(weight) END FROM (
          SELECT p.first, {member} AS member, v.target, v.weight, least(CASE WHEN max(v.target) > 1
            THEN max(v.target) / avg(v.value) ELSE avg(v.value) / max(v.target) END, 1.2) AS attained
          FROM periods p JOIN (
            SELECT s.responded_on AS day, u.team, 0.4 AS weight, 0.84 AS target,
              CASE WHEN s.score >= s.scale_max - 1 THEN 1.0 ELSE 0 END AS value
            FROM surveys s LEFT JOIN users u USING (user_id) WHERE s.survey_type = 'csat' AND s.score IS NOT NULL
            UNION ALL
            SELECT c.closed_on, u.team, 0.3, 0.70,
              CASE WHEN coalesce(i.contacts, 0) <= 1 AND c.reopened_at IS NULL THEN 1.0 ELSE 0 END
            FROM cases c LEFT JOIN users u ON u.user_id = c.owner_id LEFT JOIN (
              SELECT case_id, count(*) AS contacts FROM activities WHERE direction = 'inbound' GROUP BY case_id) i USING (case_id)
            UNION ALL
            SELECT c.closed_on, u.team, 0.3, 48, (epoch(c.closed_at) - epoch(c.created_at)) / 3600
            FROM cases c LEFT JOIN users u ON u.user_id = c.owner_id
          ) v ON v.day >= p.first AND v.day < p.behind
          WHERE p.grain = '{grain}' GROUP BY ALL)
        GROUP BY ALL"""),
    # Quotas of exactly the period.
    "quota_attainment_rate": ("month", "team", "u.team", """
        SELECT p.first, {member}, sum((SELECT coalesce(sum(o.amount), 0) FROM opportunities o
            WHERE o.owner_id = q.user_id AND o.is_won AND o.close_date >= q.period_start AND o.close_date < q.period_end))
          / nullif(sum(q.quota_amount), 0)
        FROM periods p JOIN quotas q ON q.period_start = p.first AND q.period_end = p.behind LEFT JOIN users u USING (user_id)
        WHERE p.grain = '{grain}' GROUP BY ALL"""),
    "reps_at_quota_rate": ("month", "region", "u.region", """
        SELECT p.first, {member}, count(*) FILTER (q.quota_amount <= (SELECT coalesce(sum(o.amount), 0) FROM opportunities o
            WHERE o.owner_id = q.user_id AND o.is_won AND o.close_date >= q.period_start AND o.close_date < q.period_end))
          / count(*)
        FROM periods p JOIN quotas q ON q.period_start = p.first AND q.period_end = p.behind LEFT JOIN users u USING (user_id)
        WHERE p.grain = '{grain}' AND q.quota_amount > 0 GROUP BY ALL"""),
}


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--accounts", type=int, default=2000)
    arguments.add_argument("--seed", type=int, default=7)
    arguments.add_argument("--folder", type=pathlib.Path)
    arguments.add_argument("--kpi", type=pathlib.Path, default=ROOT / "target/debug/kpi")
    arguments.add_argument("only", nargs="*", help="names of KPIs; all by default")
    options = arguments.parse_args()
    if not options.kpi.is_file():
        sys.exit(f"there is no `{options.kpi}`; run `cargo build --locked` first")
    if options.folder:
        return compare(options, options.folder)
    with tempfile.TemporaryDirectory() as folder:
        return compare(options, pathlib.Path(folder))


def compare(options, folder):
    names = options.only or list(KPIS)
    shutil.rmtree(folder / "kpis", ignore_errors=True)
    shutil.copytree(ROOT / "kpis", folder / "kpis")
    shutil.copy(pathlib.Path(__file__).with_name("shapes.yaml"), folder / "kpis")
    if not (folder / "data").is_dir():
        size = ["--accounts", str(options.accounts), "--seed", str(options.seed)]
        subprocess.run([options.kpi, "generate", "--out", folder / "data", *size], check=True)
    subprocess.run(
        [options.kpi, "--project", folder, "run", *names, "--as-of", str(AS_OF), "--quiet"],
        check=True, stdout=subprocess.DEVNULL,
    )
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")
    tables = TABLES
    for name, value in {"zone": ZONE, "data": folder / "data", "as_of": AS_OF}.items():
        tables = tables.replace("{" + name + "}", str(value))
    database.execute(tables)
    total = wrong = 0
    for name in names:
        compared, differences = compare_kpi(database, folder / f"out/published/{name}.parquet", name)
        total += compared
        wrong += len(differences)
        print(f"{name}: {compared} values" + (f", {len(differences)} DIFFER" if differences else ""))
        for key, theirs, ours in differences[:5]:
            print(f"    {key}: kpi has {theirs}, DuckDB has {ours}")
    print(f"{len(names)} KPIs, {total} values, {wrong} differ")
    return 1 if wrong else 0


def compare_kpi(database, published, name):
    """How many values were compared, and those that differ: of the default grain, overall and for the dimension."""
    grain, dimension, expression, query = KPIS[name]
    compared, differences = 0, []
    # A count or a sum of nothing is 0, or there is no row; both mean the same. A ratio of 0 is something else than none.
    [is_ratio] = database.execute(f"SELECT count(numerator) > 0 FROM '{published}'").fetchone()
    known = {row[0] for row in database.execute(f"SELECT DISTINCT breakdown FROM '{published}'").fetchall()}
    for breakdown, member in [("overall", "NULL"), (dimension, expression)]:
        if breakdown not in known:
            assert breakdown in ("overall", None), f"{name} is not broken down by {breakdown}"
            continue
        column = "NULL" if breakdown == "overall" else f'"{breakdown}"'
        theirs = database.execute(f"""
            SELECT period_start, {column}, value FROM '{published}'
            WHERE grain = '{grain}' AND breakdown = '{breakdown}' AND period_end <= DATE '{AS_OF}' + 1""").fetchall()
        ours = database.execute(query.replace("{grain}", grain).replace("{member}", member)).fetchall()
        theirs, ours = values(theirs, is_ratio), values(ours, is_ratio)
        assert ours, f"the query of {name} gives no row"
        for key in sorted(theirs.keys() | ours.keys(), key=str):
            compared += 1
            if not same(theirs.get(key), ours.get(key)):
                differences.append((key, theirs.get(key), ours.get(key)))
    return compared, differences


def values(rows, is_ratio):
    """By period and member, where there is a value."""
    found = {}
    for start, member, value in rows:
        assert (start, member) not in found, f"two rows for {start} {member}"
        if value is not None and (is_ratio or float(value) != 0):
            found[start, member] = float(value)
    return found


def same(one, other):
    return one is not None and other is not None and math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)


if __name__ == "__main__":
    sys.exit(main())
