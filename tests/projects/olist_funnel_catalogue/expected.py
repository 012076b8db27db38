"""The catalogue's numbers by SQL written by hand, with DuckDB's Python package: python expected.py FOLDER > expected.csv

FOLDER holds the files of olist_full."""
import csv
import sys

import duckdb

folder = sys.argv[1]
query = duckdb.connect()
query.execute(f"""
    CREATE TABLE leads AS
    SELECT l.mql_id, l.first_contact_date AS day, coalesce(l.origin, 'not recorded') AS origin, d.won_date::DATE AS won
    FROM read_csv('{folder}/olist_marketing_qualified_leads_dataset.csv') l
    LEFT JOIN read_csv('{folder}/olist_closed_deals_dataset.csv') d ON d.mql_id = l.mql_id
""")
WINS = "SELECT won AS day, origin, date_diff('day', day, won) AS days FROM leads WHERE won IS NOT NULL"
KPIS = [
    ("new_leads", "SELECT * FROM leads", "count(*)", "month", "lead_source"),
    ("new_leads", "SELECT * FROM leads", "count(*)", "quarter", None),
    (
        "lead_conversion_rate",
        "SELECT * FROM leads",
        "count(*) FILTER (won BETWEEN day AND day + 90) / count(*)",
        "month",
        "lead_source",
    ),
    ("new_customers", WINS, "count(*)", "month", "acquisition_channel"),
    ("sales_cycle_length", WINS, "avg(days)", "month", "channel"),
    ("median_sales_cycle_length", WINS, "median(days)", "month", None),
    ("time_to_close_by_channel", WINS, "avg(days)", "quarter", "channel"),
]
out = csv.writer(sys.stdout, lineterminator="\n")
out.writerow(["kpi", "grain", "period_start", "breakdown", "member", "column", "expected", "is_wrong", "note"])


def write(kpi, grain, start, breakdown, member, value, is_wrong="false", note=""):
    text = "" if value is None else f"{float(value):.10g}"
    out.writerow([kpi, grain, start, breakdown, member, "value", text, is_wrong, note])


for kpi, rows, value, grain, dimension in KPIS:
    for breakdown in ["overall", dimension] if kpi != "time_to_close_by_channel" else [dimension]:
        if breakdown is None:
            continue
        member = "''" if breakdown == "overall" else "origin"
        # By channel the numbers are many; two are enough.
        some = "" if breakdown == "overall" else "WHERE origin IN ('unknown', 'not recorded')"
        found = query.execute(f"""
            SELECT date_trunc('{grain}', day)::DATE, {member}, {value} FROM ({rows}) {some} GROUP BY 1, 2 ORDER BY 1, 2
        """).fetchall()
        for start, name, result in found:
            write(kpi, grain, start, breakdown, name, result)
months = query.execute(f"SELECT DISTINCT date_trunc('month', day)::DATE FROM ({WINS}) ORDER BY 1").fetchall()
for [start] in months:
    [active] = query.execute(
        f"SELECT count(*) FROM ({WINS}) WHERE day < DATE '{start}' + INTERVAL 1 MONTH"
    ).fetchone()
    write("active_customers", "month", start, "overall", "", active)
[wrong] = query.execute("SELECT count(*) FILTER (won IS NOT NULL) / count(*) FROM leads WHERE day >= '2018-01-01' AND day < '2018-02-01'").fetchone()
write("lead_conversion_rate", "month", "2018-01-01", "overall", "", wrong, "true", "wins without a limit in time")
[wrong] = query.execute("""
    SELECT (SELECT count(*) FROM leads WHERE won >= '2018-01-01' AND won < '2018-02-01')
         / (SELECT count(*) FROM leads WHERE day >= '2018-01-01' AND day < '2018-02-01')
""").fetchone()
write("lead_conversion_rate", "month", "2018-01-01", "overall", "", wrong, "true", "wins of the month over leads of the month")
[wrong] = query.execute("SELECT count(*) FROM leads WHERE origin IN ('unknown', 'not recorded') AND day >= '2018-01-01' AND day < '2018-02-01'").fetchone()
write("new_leads", "month", "2018-01-01", "lead_source", "unknown", wrong, "true", "empty origins taken for unknown ones")
