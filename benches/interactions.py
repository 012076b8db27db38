"""What DuckDB and Polars do in the benchmark of sixty KPIs; it runs in the benchmark's folder.

Modes: `decode` reads all columns; `alone` has one query for each KPI; `fused` has as few scans as one can write by hand;
`polars` collects one lazy query for each KPI together; `compare` holds the published values to those of `alone`.
"""

import json
import sys

WORKLOAD = json.load(open("workload.json"))
FILES = "data/interactions/*.parquet"


def duckdb_over_the_files():
    import duckdb

    duckdb.execute(f"CREATE VIEW interactions AS FROM '{FILES}'")
    return duckdb


def decode():
    duckdb_over_the_files().execute(
        "SELECT count(*), max(ts), sum(account_id), max(channel), max(region), max(product), sum(handle_seconds), "
        "sum(amount), count(*) FILTER (WHERE resolved) FROM interactions"
    ).fetchall()


def alone():
    duckdb = duckdb_over_the_files()
    for kpi in WORKLOAD:
        duckdb.sql(kpi["sql"]).to_arrow_table()


def filtered(aggregate, condition):
    """An aggregate that only sees some rows."""
    if not condition:
        return aggregate
    call, separator, rest = aggregate.partition(" FILTER (WHERE ")
    inner = f"{rest[:-1]} AND {condition}" if separator else condition
    return f"{call} FILTER (WHERE {inner})"


def fused():
    """What adds up comes from one scan by day; bit strings of accounts from one more; percentiles one by one."""
    duckdb = duckdb_over_the_files()
    sums = [kpi for kpi in WORKLOAD if kpi["kind"] == "sum"]
    partials = {}
    for kpi in sums:
        for part in (kpi["value"], kpi["denominator"], "count(*)"):
            if part:
                partials.setdefault(filtered(part, kpi["where"]), f"p{len(partials)}")
    columns = ", ".join(f"{sql} AS {name}" for sql, name in partials.items())
    duckdb.execute(
        f"CREATE TEMP TABLE days AS SELECT ts::DATE AS day, channel, region, product, grouping(product) AS without, {columns} "
        "FROM interactions GROUP BY GROUPING SETS ((day, channel, region), (day, product))"
    )
    for kpi in sums:
        def whole(part):
            name = partials[filtered(part, kpi["where"])]
            return f"max({name})" if part.startswith("max") else f"sum({name})"

        value = whole(kpi["value"])
        if kpi["denominator"]:
            value = f"{value}::DOUBLE / {whole(kpi['denominator'])}::DOUBLE"
        by = "".join(f", {name}" for name in kpi["by"])
        without = 0 if "product" in kpi["by"] else 1
        duckdb.sql(
            f"SELECT date_trunc('{kpi['grain']}', day) AS period_start{by}, {value} AS value FROM days WHERE without = {without} "
            f"GROUP BY ALL HAVING {whole('count(*)')} > 0"
        ).to_arrow_table()

    bits = "bitstring_agg(account_id, 0, 1000003)"
    duckdb.execute(
        f"CREATE TEMP TABLE met AS SELECT date_trunc('day', ts) AS day, date_trunc('week', ts) AS week, "
        f"date_trunc('month', ts) AS month, channel, region, {bits} AS bits FROM interactions "
        "GROUP BY GROUPING SETS ((day), (week, channel), (month, channel, region))"
    )
    for kpi in WORKLOAD:
        if kpi["kind"] != "distinct":
            continue
        by = "".join(f", {name}" for name in kpi["by"])
        if kpi["where"]:
            query = (
                f"SELECT date_trunc('{kpi['grain']}', ts) AS period_start{by}, bit_count({bits}) AS value "
                f"FROM interactions WHERE {kpi['where']} GROUP BY ALL"
            )
        else:
            query = (
                f"SELECT {kpi['grain']} AS period_start{by}, bit_count(bit_or(bits)) AS value FROM met "
                f"WHERE {kpi['grain']} IS NOT NULL GROUP BY ALL"
            )
        duckdb.sql(query).to_arrow_table()
    for kpi in WORKLOAD:
        if kpi["kind"] == "percentile":
            duckdb.sql(kpi["sql"]).to_arrow_table()


def polars():
    import polars as pl

    rows = pl.scan_parquet(FILES)
    conditions = {
        "": None,
        "resolved": pl.col("resolved"),
        "NOT resolved": ~pl.col("resolved"),
        "amount > 0": pl.col("amount") > 0,
        "handle_seconds > 600": pl.col("handle_seconds") > 600,
        "channel = 'phone'": pl.col("channel") == "phone",
        "channel IN ('chat', 'in_app', 'web_form')": pl.col("channel").is_in(["chat", "in_app", "web_form"]),
    }
    aggregates = {
        "count(*)": pl.len(),
        "count(*) FILTER (WHERE resolved)": pl.col("resolved").sum(),
        "count(handle_seconds)": pl.col("handle_seconds").count(),
        "sum(handle_seconds)": pl.col("handle_seconds").sum(),
        "sum(amount)": pl.col("amount").sum(),
        "max(handle_seconds)": pl.col("handle_seconds").max(),
        "count(DISTINCT account_id)": pl.col("account_id").n_unique(),
    }
    lengths = {"day": "1d", "week": "1w", "month": "1mo"}
    queries = []
    for kpi in WORKLOAD:
        if kpi["kind"] == "percentile":
            at = float(kpi["value"].split("(")[1].split(")")[0])
            value = pl.col("handle_seconds").quantile(at, "linear")
        else:
            value = aggregates[kpi["value"]]
            if kpi["denominator"]:
                value = value.cast(pl.Float64) / aggregates[kpi["denominator"]].cast(pl.Float64)
        condition = conditions[kpi["where"]]
        counted = rows if condition is None else rows.filter(condition)
        period = pl.col("ts").dt.truncate(lengths[kpi["grain"]]).alias("period_start")
        queries.append(counted.group_by([period, *kpi["by"]]).agg(value.alias("value")))
    pl.collect_all(queries)


def compare():
    import compare

    duckdb_over_the_files()
    compare.compare((kpi["name"], kpi["by"], kpi["sql"]) for kpi in WORKLOAD)


{"decode": decode, "alone": alone, "fused": fused, "polars": polars, "compare": compare}[sys.argv[1]]()
