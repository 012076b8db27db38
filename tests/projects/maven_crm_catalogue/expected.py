"""The catalogue's numbers by SQL written by hand, with DuckDB's Python package: python expected.py FOLDER > expected.csv

FOLDER holds the five CSV files of the data set."""
import csv
import sys

import duckdb

folder = sys.argv[1]
query = duckdb.connect()
query.execute(f"""
    CREATE TABLE deals AS
    SELECT p.* EXCLUDE (product), replace(p.product, 'GTXPro', 'GTX Pro') AS product, t.regional_office AS team, i.series
    FROM read_csv('{folder}/sales_pipeline.csv', types = {{'close_value': 'DECIMAL(18,2)'}}) p
    LEFT JOIN read_csv('{folder}/sales_teams.csv') t ON t.sales_agent = p.sales_agent
    LEFT JOIN read_csv('{folder}/products.csv') i ON i.product = replace(p.product, 'GTXPro', 'GTX Pro')
""")
WON = "deal_stage = 'Won'"
DAYS = "date_diff('day', engage_date, close_date)"
CLOSED = "SELECT *, close_date AS day FROM deals WHERE close_date IS NOT NULL"
KPIS = [
    ("close_rate", CLOSED, f"count(*) FILTER ({WON}) / count(*)", ["team", "series"]),
    ("closed_opportunities", CLOSED, "count(*)", []),
    ("sales_cycle_length", CLOSED, f"avg({DAYS}) FILTER ({WON})", []),
    ("median_sales_cycle_length", CLOSED, f"median({DAYS}) FILTER ({WON})", []),
    ("total_revenue", CLOSED, f"sum(close_value) FILTER ({WON})", []),
    ("purchases", CLOSED, f"count(*) FILTER ({WON})", []),
    ("average_purchase_value", CLOSED, f"sum(close_value) FILTER ({WON}) / count(*) FILTER ({WON})", []),
    ("average_purchase_frequency", CLOSED, f"count(*) FILTER ({WON}) / count(DISTINCT account) FILTER ({WON})", []),
    (
        "sales_conversion_rate",
        "SELECT *, engage_date AS day FROM deals WHERE engage_date IS NOT NULL",
        f"count(*) FILTER ({WON}) / count(*)",
        [],
    ),
    (
        "new_customers",
        f"SELECT min(close_date) AS day FROM deals WHERE {WON} AND account IS NOT NULL GROUP BY account",
        "count(*)",
        [],
    ),
]
# At the end of each quarter: (wins up to it, deals open at it).
LEVELS = [
    ("active_customers", f"SELECT count(DISTINCT account) FROM deals WHERE {WON} AND close_date BETWEEN $day - 364 AND $day"),
    ("open_opportunities", "SELECT count(*) FROM deals WHERE engage_date <= $day AND (close_date IS NULL OR close_date > $day)"),
    (
        "repeat_purchase_rate",
        f"""SELECT count(*) FILTER (n >= 2) / count(*) FROM (
              SELECT count(*) AS n FROM deals WHERE {WON} AND close_date BETWEEN $day - 364 AND $day GROUP BY account)""",
    ),
]
WRONG = [
    ("sales_cycle_length", "2017-04-01", f"SELECT avg({DAYS}) FROM deals WHERE quarter(close_date) = 2", "with lost deals"),
    (
        "average_purchase_value",
        "2017-04-01",
        "SELECT avg(close_value) FROM deals WHERE quarter(close_date) = 2",
        "with lost deals, whose value is 0",
    ),
    ("open_opportunities", "2017-04-01", "SELECT count(*) FROM deals WHERE close_date IS NULL", "those that are open today"),
]
out = csv.writer(sys.stdout, lineterminator="\n")
out.writerow(["kpi", "grain", "period_start", "breakdown", "member", "column", "expected", "is_wrong", "note"])


def number(value):
    return "" if value is None else f"{float(value):.10g}"


for kpi, rows, value, breakdowns in KPIS:
    for breakdown in ["overall", *breakdowns]:
        member = "''" if breakdown == "overall" else breakdown
        found = query.execute(f"""
            SELECT date_trunc('quarter', day)::DATE, {member}, {value} FROM ({rows}) WHERE day >= '2017-01-01' GROUP BY 1, 2 ORDER BY 1, 2
        """).fetchall()
        for start, name, result in found:
            out.writerow([kpi, "quarter", start, breakdown, name, "value", number(result), "false", ""])
revenues = query.execute(f"""
    SELECT date_trunc('quarter', close_date)::DATE, sum(close_value)::DOUBLE FROM deals WHERE {WON} GROUP BY 1 ORDER BY 1
""").fetchall()
for (_, before), (start, after) in zip(revenues, revenues[1:]):
    out.writerow(["revenue_growth_rate", "quarter", start, "overall", "", "value", number(after / before - 1), "false", ""])
for kpi, sql in LEVELS:
    for start, day in [("2017-01-01", "2017-03-31"), ("2017-04-01", "2017-06-30"), ("2017-07-01", "2017-09-30"), ("2017-10-01", "2017-12-31")]:
        [result] = query.execute(sql.replace("$day", f"DATE '{day}'")).fetchone()
        out.writerow([kpi, "quarter", start, "overall", "", "value", number(result), "false", ""])
for kpi, start, sql, note in WRONG:
    [result] = query.execute(sql).fetchone()
    out.writerow([kpi, "quarter", start, "overall", "", "value", number(result), "true", note])
