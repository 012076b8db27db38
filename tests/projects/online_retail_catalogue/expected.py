"""The catalogue's numbers by SQL written by hand, with DuckDB's Python package: python expected.py FOLDER > expected.csv

FOLDER holds the Parquet file of the data set."""
import csv
import sys
from calendar import monthrange
from datetime import date, timedelta

import duckdb

folder = sys.argv[1]
query = duckdb.connect()
query.execute(f"""
    CREATE TABLE lines AS
    SELECT Invoice AS invoice, "Customer ID"::BIGINT AS customer, substr(InvoiceDate, 1, 10)::DATE AS line_day,
           Quantity * Price::DECIMAL(12,3) AS amount, Invoice LIKE 'C%' AS is_credit
    FROM '{folder}/online_retail_ii_2009_2010.parquet'
    WHERE regexp_matches(upper(trim(StockCode)), '^([0-9]{{5}}|DCGS|PADS|SP1)') AND (Invoice LIKE 'C%' OR Quantity * Price > 0)
""")
query.execute("""
    CREATE TABLE invoices AS
    SELECT invoice, min(customer) AS customer, min(line_day) AS day, any_value(is_credit) AS is_credit, sum(round(amount, 2)) AS amount
    FROM lines GROUP BY invoice
""")
# A purchase makes a customer for ninety days, its own among them.
ACTIVE = "SELECT DISTINCT customer FROM invoices WHERE NOT is_credit AND customer IS NOT NULL AND day BETWEEN {day} - 89 AND {day}"
out = csv.writer(sys.stdout, lineterminator="\n")
out.writerow(["kpi", "grain", "period_start", "breakdown", "member", "column", "expected", "is_wrong", "note"])


def write(kpi, start, value, is_wrong="false", note=""):
    text = "" if value is None else f"{float(value):.12g}"
    out.writerow([kpi, "month", start, "overall", "", "value", text, is_wrong, note])


def one(sql, **names):
    return query.execute(sql.format(**names)).fetchone()[0]


before = None
for number in range(13):
    start = date(2009 + (11 + number) // 12, (11 + number) % 12 + 1, 1)
    end = date(start.year, start.month, monthrange(start.year, start.month)[1])
    inside = f"day BETWEEN DATE '{start}' AND DATE '{end}'"
    opening, closing = f"DATE '{start - timedelta(1)}'", f"DATE '{min(end, date(2010, 12, 9))}'"
    revenue = one("SELECT sum(amount) FROM invoices WHERE {inside}", inside=inside)
    purchases = one("SELECT count(*) FROM invoices WHERE NOT is_credit AND {inside}", inside=inside)
    write("total_revenue", start, revenue)
    write("purchases", start, purchases)
    write("average_purchase_value", start, revenue / purchases)
    write("active_customers", start, one(f"SELECT count(*) FROM ({ACTIVE})", day=closing))
    write("new_customers", start, one(f"""
        SELECT count(*) FROM (SELECT customer, min(day) AS day FROM invoices WHERE NOT is_credit AND customer IS NOT NULL GROUP BY 1)
        WHERE {inside}"""))
    if number > 0:
        kept = one(f"SELECT count(*) FROM ({ACTIVE.format(day=opening)}) JOIN ({ACTIVE.format(day=closing)}) USING (customer)")
        at_start = one(f"SELECT count(*) FROM ({ACTIVE})", day=opening)
        write("retained_customers", start, kept)
        write("customer_retention_rate", start, kept / at_start)
        write("customer_churn_rate", start, 1 - kept / at_start)
    # December 2010 stops on the 9th, and is compared with the same days of November.
    if 0 < number < 12:
        write("revenue_growth_rate", start, revenue / before - 1)
    before = revenue
    # The trailing year is full for the first time in November 2010.
    if start == date(2010, 11, 1):
        write("repeat_purchase_rate", start, one("""
            SELECT count(*) FILTER (n >= 2) / count(*)
            FROM (SELECT count(*) AS n FROM invoices WHERE NOT is_credit AND customer IS NOT NULL
                  AND day BETWEEN DATE '2009-12-01' AND DATE '2010-11-30' GROUP BY customer)"""))
    if start == date(2010, 3, 1):
        write("purchases", start, one("SELECT count(*) FROM invoices WHERE {inside}", inside=inside), "true", "with credit notes")
        write("total_revenue", start, one("SELECT sum(amount) FROM invoices WHERE NOT is_credit AND {inside}", inside=inside),
              "true", "without credit notes")
        write("active_customers", start, one("SELECT count(DISTINCT customer) FROM invoices WHERE {inside}", inside=inside),
              "true", "everybody with an invoice in the month")
