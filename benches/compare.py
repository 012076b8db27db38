"""Holds published values to those of queries that DuckDB runs."""

import sys

import duckdb


def compare(queries):
    """Each a KPI's name, its dimensions, and SQL that gives `period_start`, the dimensions and `value`; ends the program."""
    wrong = 0
    for name, by, query in queries:
        same = "".join(f" AND ours.{column} IS NOT DISTINCT FROM theirs.{column}" for column in by)
        rows, missing, different = duckdb.execute(
            f"""SELECT count(*), count(*) FILTER (WHERE ours.period_start IS NULL OR theirs.period_start IS NULL),
                       count(*) FILTER (WHERE abs(ours.value::DOUBLE - theirs.value::DOUBLE)
                                        > 1e-9 * greatest(1, abs(theirs.value::DOUBLE))
                                        OR (ours.value IS NULL) <> (theirs.value IS NULL))
                FROM 'out/published/{name}.parquet' ours
                FULL JOIN ({query}) theirs ON ours.period_start = theirs.period_start::DATE{same}"""
        ).fetchone()
        wrong += missing + different
        if missing or different:
            print(f"{name}: of {rows} values {missing} are on one side only, {different} differ")
    print(f"DuckDB {duckdb.__version__}: " + ("all values agree" if wrong == 0 else f"{wrong} values differ"))
    sys.exit(wrong > 0)
