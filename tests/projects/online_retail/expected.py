"""The same numbers by SQL written by hand, with DuckDB's Python package: python expected.py FOLDER > expected.csv

FOLDER holds the Parquet file of the data set."""
import csv
import sys

import duckdb

folder = sys.argv[1]
query = duckdb.connect()
query.execute(f"""
    CREATE TABLE lines AS
    SELECT *, substr(InvoiceDate, 1, 10)::DATE AS day, Quantity * Price::DECIMAL(12,3) AS amount,
           Invoice LIKE 'C%' AS cancelled,
           regexp_matches(upper(trim(StockCode)), '^([0-9]{{5}}|DCGS|PADS|SP1)') AS goods,
           CASE WHEN Country = 'United Kingdom' THEN 'home' ELSE 'abroad' END AS market
    FROM '{folder}/online_retail_ii_2009_2010.parquet'
""")
SOLD = "goods AND NOT cancelled AND amount > 0"
query.execute(f"CREATE TABLE invoices AS SELECT Invoice, min(day) AS day, sum(amount) AS amount FROM lines WHERE {SOLD} GROUP BY 1")
KPIS = {
    "revenue": ("lines", "sum(amount) FILTER (goods)", ["overall", "market"]),
    "active_customers": ("lines", f'count(DISTINCT "Customer ID") FILTER ({SOLD})', ["overall", "market"]),
    "cancellation_rate": (
        "lines",
        "-sum(amount) FILTER (goods AND cancelled) / (sum(amount) FILTER (goods AND NOT cancelled))::DOUBLE",
        ["overall", "market"],
    ),
    "unknown_customer_rate": (
        "lines",
        f'count(*) FILTER ({SOLD} AND "Customer ID" IS NULL) / count(*) FILTER ({SOLD})',
        ["overall", "market"],
    ),
    "average_invoice_value": ("invoices", "avg(amount)", ["overall"]),
}
WRONG = [
    ("revenue", "sum(amount)", "with postage, fees and corrections"),
    ("revenue", "sum(amount) FILTER (goods AND NOT cancelled)", "without cancellations"),
    ("active_customers", 'count(DISTINCT "Customer ID")', "with those who only cancelled or paid postage"),
    ("average_invoice_value", f"avg(amount) FILTER ({SOLD})", "mean of the lines"),
]
out = csv.writer(sys.stdout, lineterminator="\n")
out.writerow(["kpi", "grain", "period_start", "breakdown", "member", "column", "expected", "is_wrong", "note"])


def number(value):
    return "" if value is None else f"{float(value):.12g}"


for kpi, (table, value, breakdowns) in KPIS.items():
    for breakdown in breakdowns:
        for grain in ["month", "quarter"]:
            member = "''" if breakdown == "overall" else breakdown
            rows = query.execute(f"""
                SELECT date_trunc('{grain}', day)::DATE, {member}, {value} FROM {table} GROUP BY 1, 2 ORDER BY 1, 2
            """).fetchall()
            for start, name, result in rows:
                out.writerow([kpi, grain, start, breakdown, name, "value", number(result), "false", ""])
for kpi, value, note in WRONG:
    [result] = query.execute(f"SELECT {value} FROM lines WHERE day BETWEEN '2010-03-01' AND '2010-03-31'").fetchone()
    out.writerow([kpi, "month", "2010-03-01", "overall", "", "value", number(result), "true", note])
