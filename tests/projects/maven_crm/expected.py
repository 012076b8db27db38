"""The same numbers by SQL written by hand, with DuckDB's Python package: python expected.py FOLDER > expected.csv

FOLDER holds the five CSV files of the data set."""
import csv
import sys

import duckdb

folder = sys.argv[1]
query = duckdb.connect()
query.execute(f"""
    CREATE TABLE deals AS
    SELECT p.*, t.regional_office AS region, t.manager, i.series, replace(a.sector, 'technolgy', 'technology') AS sector
    FROM read_csv('{folder}/sales_pipeline.csv', types = {{'close_value': 'DECIMAL(18,2)'}}) p
    LEFT JOIN read_csv('{folder}/sales_teams.csv') t ON t.sales_agent = p.sales_agent
    LEFT JOIN read_csv('{folder}/products.csv') i ON i.product = replace(p.product, 'GTXPro', 'GTX Pro')
    LEFT JOIN read_csv('{folder}/accounts.csv') a ON a.account = p.account
    WHERE close_date IS NOT NULL
""")
WON = "deal_stage = 'Won'"
DAYS = "date_diff('day', engage_date, close_date)"
KPIS = {
    "close_rate": (f"count(*) FILTER ({WON}) / count(*)", ["overall", "region", "series", "manager", "sector"]),
    "won_revenue": (f"sum(close_value) FILTER ({WON})", ["overall", "region", "series", "manager", "sector"]),
    "average_deal_size": (f"sum(close_value) FILTER ({WON}) / count(*) FILTER ({WON})", ["overall", "region", "series"]),
    "sales_cycle_length": (f"avg({DAYS}) FILTER ({WON})", ["overall", "region", "series"]),
}
WRONG = [
    ("average_deal_size", "avg(close_value)", "with lost deals, whose value is 0"),
    ("sales_cycle_length", f"avg({DAYS})", "with lost deals"),
    ("won_revenue", f"sum(close_value) FILTER ({WON} AND product <> 'GTXPro')", "a join that loses GTXPro"),
]
out = csv.writer(sys.stdout, lineterminator="\n")
out.writerow(["kpi", "grain", "period_start", "breakdown", "member", "column", "expected", "is_wrong", "note"])


def number(value):
    return "" if value is None else f"{float(value):.10g}"


for kpi, (value, breakdowns) in KPIS.items():
    for breakdown in breakdowns:
        for grain in ["quarter", "month"] if breakdown == "overall" else ["quarter"]:
            member = "''" if breakdown == "overall" else breakdown
            rows = query.execute(f"""
                SELECT date_trunc('{grain}', close_date)::DATE, {member}, {value} FROM deals GROUP BY 1, 2 ORDER BY 1, 2
            """).fetchall()
            for start, name, result in rows:
                out.writerow([kpi, grain, start, breakdown, name, "value", number(result), "false", ""])
growth = query.execute(f"""
    WITH quarters AS (SELECT date_trunc('quarter', close_date)::DATE q, sum(close_value) v FROM deals WHERE {WON} GROUP BY 1)
    SELECT a.q, a.v::DOUBLE / b.v - 1 FROM quarters a LEFT JOIN quarters b ON b.q = a.q - INTERVAL 3 MONTH ORDER BY 1
""").fetchall()
for start, result in growth:
    out.writerow(["won_revenue_growth", "quarter", start, "overall", "", "value", number(result), "false", ""])
for kpi, value, note in WRONG:
    [result] = query.execute(f"SELECT {value} FROM deals WHERE quarter(close_date) = 2").fetchone()
    out.writerow([kpi, "quarter", "2017-04-01", "overall", "", "value", number(result), "true", note])
