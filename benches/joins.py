"""What DuckDB does in the benchmark of joins, its tables and its definitions; it runs in the benchmark's folder.

Modes, each with the scale factor behind it: `prepare` makes the tables if they are not there, and writes the definitions;
`alone` has one query for each KPI; `fused` joins and aggregates once; `compare` holds the published values to those of `alone`.
"""

import os
import subprocess
import sys
import sysconfig

import duckdb

TABLES = ["lineitem", "orders", "customer", "nation"]
JOINED = (
    "lineitem JOIN orders ON l_orderkey = o_orderkey JOIN customer ON o_custkey = c_custkey "
    "JOIN nation ON c_nationkey = n_nationkey"
)
# A name, what counts, its value.
MEASURES = [
    ("revenue", "", "sum(l_extendedprice * (1 - l_discount))"),
    ("quantity", "", "sum(l_quantity)"),
    ("lines", "", "count(*)"),
    ("returned_revenue", "l_returnflag = 'R'", "sum(l_extendedprice * (1 - l_discount))"),
    ("late_lines", "l_receiptdate > l_commitdate", "count(*)"),
    ("average_discount", "", "avg(l_discount)"),
]
CELLS = [("month", "nation", "n_name"), ("week", "segment", "c_mktsegment"), ("day", "priority", "o_orderpriority")]

PROJECT = """project: joins
data: ../data
output: ../out
---
table: nation
source: nation.parquet
primary_key: n_nationkey
---
table: customer
source: customer.parquet
primary_key: c_custkey
joins:
  nation: {table: nation, on: c_nationkey = n_nationkey}
---
table: orders
source: orders.parquet
primary_key: o_orderkey
joins:
  customer: {table: customer, on: o_custkey = c_custkey}
---
table: lineitem
source: lineitem.parquet
joins:
  order: {table: orders, on: l_orderkey = o_orderkey}
time: order.o_orderdate
dimensions:
  nation: order.customer.nation.n_name
  segment: order.customer.c_mktsegment
  priority: order.o_orderpriority
"""


def prepare(scale):
    if not all(os.path.exists(f"data/{table}.parquet") for table in TABLES):
        program = os.path.join(sysconfig.get_path("scripts"), "tpchgen-cli")
        tables = ",".join(TABLES)
        subprocess.run(
            [program, "parquet", "-s", scale, "--compression", "zstd(1)", "--tables", tables, "--output-dir", "data"],
            check=True,
        )
    with open("kpis/joins.yaml", "w") as file:
        file.write(PROJECT)
        for name, condition, value in MEASURES:
            for grain, dimension, _ in CELLS:
                where = f"where: {condition}\n" if condition else ""
                file.write(f"---\nkpi: {name}_by_{dimension}\nfrom: lineitem\n{where}value: {value}\ngrains: [{grain}]\n")
                file.write(f"by: [{dimension}]\nrequired_dimensions: [{dimension}]\n")


def over_the_files():
    for table in TABLES:
        duckdb.execute(f"CREATE VIEW {table} AS FROM 'data/{table}.parquet'")


def queries():
    for name, condition, value in MEASURES:
        for grain, dimension, column in CELLS:
            where = f" WHERE {condition}" if condition else ""
            yield f"{name}_by_{dimension}", dimension, (
                f"SELECT date_trunc('{grain}', o_orderdate) AS period_start, {column} AS {dimension}, {value} AS value "
                f"FROM {JOINED}{where} GROUP BY ALL"
            )


def alone(_):
    over_the_files()
    for _, _, query in queries():
        duckdb.sql(query).to_arrow_table()


def fused(_):
    """One join for everything, by day; what has no rows of a KPI has no row in its result either."""
    over_the_files()
    parts = {
        "revenue": "sum(l_extendedprice * (1 - l_discount))",
        "quantity": "sum(l_quantity)",
        "lines": "count(*)",
        "returned_revenue": "sum(l_extendedprice * (1 - l_discount)) FILTER (WHERE l_returnflag = 'R')",
        "late_lines": "count(*) FILTER (WHERE l_receiptdate > l_commitdate)",
        "discount": "sum(l_discount)",
    }
    columns = ", ".join(f"{sql} AS {name}" for name, sql in parts.items())
    sets = ", ".join(f"(o_orderdate, {column})" for _, _, column in CELLS)
    keys = ", ".join(column for _, _, column in CELLS)
    duckdb.execute(
        f"CREATE TEMP TABLE days AS SELECT o_orderdate AS day, {keys}, {columns} FROM {JOINED} GROUP BY GROUPING SETS ({sets})"
    )
    for name, _, _ in MEASURES:
        for grain, dimension, column in CELLS:
            value = "sum(discount) / sum(lines)" if name == "average_discount" else f"sum({name})"
            duckdb.sql(
                f"SELECT date_trunc('{grain}', day) AS period_start, {column} AS {dimension}, {value} AS value "
                f"FROM days WHERE {column} IS NOT NULL GROUP BY ALL HAVING {value} > 0"
            ).to_arrow_table()


def compare(_):
    import compare

    over_the_files()
    compare.compare((name, [dimension], query) for name, dimension, query in queries())


{"prepare": prepare, "alone": alone, "fused": fused, "compare": compare}[sys.argv[1]](sys.argv[2])
