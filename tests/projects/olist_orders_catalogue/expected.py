"""The catalogue's numbers by SQL written by hand, with DuckDB's Python package: python expected.py FOLDER > expected.csv

FOLDER holds the files of olist_sample."""
import csv
import sys

import duckdb

folder = sys.argv[1]
query = duckdb.connect()
query.execute(f"""
    CREATE TABLE orders AS
    SELECT o.order_id, o.order_purchase_timestamp::DATE AS day, c.customer_unique_id AS person, c.customer_state AS region,
           o.order_status NOT IN ('canceled', 'unavailable') AS is_purchase
    FROM read_csv('{folder}/olist_orders_dataset.csv') o
    JOIN read_csv('{folder}/olist_customers_dataset.csv', all_varchar = true) c ON c.customer_id = o.customer_id
""")
query.execute(f"""
    CREATE TABLE items AS
    SELECT i.price::DECIMAL(18,2) AS price, o.day,
           coalesce(t.product_category_name_english, p.product_category_name, '(none)') AS product_family
    FROM read_csv('{folder}/olist_order_items_dataset.csv') i
    JOIN orders o ON o.order_id = i.order_id AND o.is_purchase
    LEFT JOIN read_csv('{folder}/olist_products_dataset.csv') p ON p.product_id = i.product_id
    LEFT JOIN read_csv('{folder}/product_category_name_translation.csv') t ON t.product_category_name = p.product_category_name
""")
query.execute(f"""
    CREATE TABLE reviews AS
    SELECT review_score AS score, review_creation_date::DATE AS sent, review_answer_timestamp::DATE AS day
    FROM read_csv('{folder}/olist_order_reviews_dataset.csv', quote = '"', escape = '"', new_line = '\\n', strict_mode = false)
""")
PURCHASES = "SELECT * FROM orders WHERE is_purchase"
KPIS = [
    ("total_revenue", "SELECT * FROM items", "sum(price)", "product_family"),
    ("purchases", PURCHASES, "count(*)", None),
    ("average_purchase_frequency", PURCHASES, "count(*) / count(DISTINCT person)", None),
    ("new_customers", f"SELECT min(day) AS day FROM ({PURCHASES}) GROUP BY person", "count(*)", None),
    ("customer_satisfaction_score", "SELECT * FROM reviews", "count(*) FILTER (score >= 4) / count(*)", None),
    ("customer_feedback_volume", "SELECT * FROM reviews", "count(*)", None),
    (
        "survey_response_rate",
        "SELECT sent AS day, day AS answered FROM reviews",
        "count(*) FILTER (answered <= day + 14) / count(*)",
        None,
    ),
]
out = csv.writer(sys.stdout, lineterminator="\n")
out.writerow(["kpi", "grain", "period_start", "breakdown", "member", "column", "expected", "is_wrong", "note"])


def write(kpi, grain, start, breakdown, member, value, is_wrong="false", note=""):
    text = "" if value is None else f"{float(value):.10g}"
    out.writerow([kpi, grain, start, breakdown, member, "value", text, is_wrong, note])


for kpi, rows, value, dimension in KPIS:
    for grain, breakdown in [("month", "overall"), ("quarter", "overall"), ("quarter", dimension)]:
        if breakdown is None or (kpi == "average_purchase_frequency" and grain == "month"):
            continue
        member = "''" if breakdown == "overall" else breakdown
        # Of the seventy categories three are enough: one that is translated, one that is not, and none.
        some = "" if breakdown == "overall" else f"WHERE {breakdown} IN ('health_beauty', 'pc_gamer', '(none)')"
        found = query.execute(f"""
            SELECT date_trunc('{grain}', day)::DATE, {member}, {value} FROM ({rows}) {some} GROUP BY 1, 2 ORDER BY 1, 2
        """).fetchall()
        for start, name, result in found:
            write(kpi, grain, start, breakdown, name, result)
for start, end in [("2017-10-01", "2017-12-31"), ("2018-01-01", "2018-03-31"), ("2018-04-01", "2018-06-30")]:
    window = f"is_purchase AND day BETWEEN DATE '{end}' - 364 AND DATE '{end}'"
    [active] = query.execute(f"SELECT count(DISTINCT person) FROM orders WHERE {window}").fetchone()
    write("active_customers", "quarter", start, "overall", "", active)
    [repeat] = query.execute(
        f"SELECT count(*) FILTER (n >= 2) / count(*) FROM (SELECT count(*) AS n FROM orders WHERE {window} GROUP BY person)"
    ).fetchone()
    write("repeat_purchase_rate", "quarter", start, "overall", "", repeat)
[wrong] = query.execute("SELECT count(*) FROM orders WHERE day >= '2018-01-01' AND day < '2018-04-01'").fetchone()
write("purchases", "quarter", "2018-01-01", "overall", "", wrong, "true", "with orders that were canceled")
[wrong] = query.execute("SELECT avg(score) / 5 FROM reviews WHERE day >= '2018-01-01' AND day < '2018-04-01'").fetchone()
write("customer_satisfaction_score", "quarter", "2018-01-01", "overall", "", wrong, "true", "the mean score")
