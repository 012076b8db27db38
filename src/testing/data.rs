//! Tests of a table's rows: one pass counts for all that look at a row by itself; what compares rows has a query of its
//! own. Only counts and a few failing rows come back.

use std::collections::BTreeSet;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::{cast as cast_array, concat_batches};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Column, Result as QueryResult, TableReference};
use datafusion::functions_aggregate::expr_fn::{count, sum};
use datafusion::logical_expr::{Expr, ExprFunctionExt, JoinType, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::prelude::SessionContext;

use super::{EXAMPLES, Examples, Failure, TestKind, TestOutcome, Verdict};
use crate::compile::{RowTime, column, joined_rows};
use crate::error::{Error, Result};
use crate::execute::{collect, query_error};
use crate::model::{DataTest, Freshness, JoinPath, Model, Rule, TestSeverity, join_alias};
use crate::report::format_number;
use crate::survey::{self, AsOf};

/// Runs tests of one table, and says of each what came out.
pub async fn table_tests(
    context: &SessionContext,
    model: &Model,
    table: &str,
    tests: &[&DataTest],
) -> Vec<(Verdict, usize)> {
    let mut verdicts: Vec<(Verdict, usize)> = Vec::new();
    let looks_at_one_row = |test: &&DataTest| matches!(test.rule, Rule::Rows { .. });
    // Joins of keys that are none would count rows twice, so what needs no join is counted without.
    for has_joins in [false, true] {
        let group: Vec<(usize, &DataTest)> = (tests.iter().enumerate())
            .filter(|(_, test)| looks_at_one_row(test) && test.joins.is_empty() != has_joins)
            .map(|(index, test)| (index, *test))
            .collect();
        verdicts.extend(one_pass(context, model, table, &group).await);
    }
    for (index, test) in tests.iter().enumerate().filter(|(_, test)| !looks_at_one_row(test)) {
        let failed = compared(context, model, table, test).await;
        verdicts.push((verdict(failed), index));
    }
    verdicts.sort_by_key(|(_, index)| *index);
    verdicts
}

/// Whether the rows of a table are new enough.
pub async fn freshness_test(
    context: &SessionContext,
    model: &Model,
    table: &str,
    freshness: &Freshness,
    as_of: AsOf,
) -> TestOutcome {
    let allowed = |limit: i64| if limit == 1 { "1 day".to_owned() } else { format!("{limit} days") };
    let strictest = freshness.error.or(freshness.warn).unwrap_or_default();
    let name = format!("`{}` is at most {} old", freshness.column, allowed(freshness.warn.unwrap_or(strictest)));
    let outcome = |severity, verdict| TestOutcome {
        kind: TestKind::Freshness,
        subject: table.to_owned(),
        name: name.clone(),
        place: freshness.place.clone(),
        severity,
        verdict,
    };
    let most_severe = if freshness.error.is_some() { TestSeverity::Error } else { TestSeverity::Warn };
    let last = match survey::freshness(context, model, table, as_of).await {
        Ok(last) => last,
        Err(error) => return outcome(most_severe, Verdict::Broken { error }),
    };
    let Some(last) = last else {
        // Nobody knows how old it is, so it is as late as can be.
        let name = format!("`{}` is at most {} old", freshness.column, allowed(strictest));
        let outcome = |severity, verdict| TestOutcome { name, ..outcome(severity, verdict) };
        let message = format!("`{}` has no day up to {}", freshness.column, as_of.day);
        return outcome(most_severe, Verdict::Failed(Failure { message, ..Failure::default() }));
    };
    let age = (as_of.day - last).num_days();
    let is_beyond = |limit: &Option<i64>| limit.is_some_and(|limit| age > limit);
    let (severity, limit) = match (is_beyond(&freshness.error), is_beyond(&freshness.warn)) {
        (true, _) => (TestSeverity::Error, freshness.error),
        (false, true) => (TestSeverity::Warn, freshness.warn),
        (false, false) => return outcome(most_severe, Verdict::Passed),
    };
    let message = format!(
        "its last day is {last}, {} before {}, and {} is the limit",
        allowed(age),
        as_of.day,
        allowed(limit.unwrap_or_default())
    );
    outcome(severity, Verdict::Failed(Failure { message, ..Failure::default() }))
}

fn verdict(failed: Result<Option<Failure>>) -> Verdict {
    match failed {
        Ok(None) => Verdict::Passed,
        Ok(Some(failure)) => Verdict::Failed(failure),
        Err(error) => Verdict::Broken { error },
    }
}

/// Counts the failing rows of many tests at once. Where that fails each is counted by itself, so that a value that cannot
/// be read is told of those that look at it.
async fn one_pass(
    context: &SessionContext,
    model: &Model,
    table: &str,
    group: &[(usize, &DataTest)],
) -> Vec<(Verdict, usize)> {
    if group.is_empty() {
        return Vec::new();
    }
    let tests: Vec<&DataTest> = group.iter().map(|(_, test)| *test).collect();
    let counted = match failing_rows(context, model, table, &tests).await {
        Ok(counted) => counted.into_iter().map(Ok).collect(),
        Err(error) if tests.len() == 1 => vec![Err(error)],
        Err(_) => {
            let mut counted = Vec::new();
            for test in &tests {
                let alone = failing_rows(context, model, table, &[test]).await;
                counted.push(alone.map(|counts| counts.first().copied().unwrap_or_default()));
            }
            counted
        }
    };
    let mut verdicts = Vec::new();
    for ((index, test), counted) in group.iter().zip(counted) {
        let failed = match counted {
            Ok((0, _)) => Ok(None),
            Ok((failing, all)) => failure_of_rows(context, model, table, test, (failing, all)).await.map(Some),
            Err(error) => Err(error),
        };
        verdicts.push((verdict(failed), *index));
    }
    verdicts
}

/// For each test how many rows fail, and how many there are.
async fn failing_rows(
    context: &SessionContext,
    model: &Model,
    table: &str,
    tests: &[&DataTest],
) -> Result<Vec<(u64, u64)>> {
    let plan = || -> QueryResult<LogicalPlan> {
        let joins: BTreeSet<JoinPath> = tests.iter().flat_map(|test| test.joins.iter().cloned()).collect();
        // All that need it have the table's own.
        let time = tests.iter().find_map(|test| row_time(test));
        let mut counts = vec![count(lit(1_i64)).alias("rows")];
        for (index, test) in tests.iter().enumerate() {
            let Rule::Rows { fails } = &test.rule else { continue };
            counts.push(count(lit(1_i64)).filter(fails.clone()).build()?.alias(format!("test_{index}")));
        }
        joined_rows(model, table, &joins, time, false)?.aggregate(Vec::<Expr>::new(), counts)?.build()
    };
    let rows = one_batch(context, plan().map_err(query_error)?).await?;
    let all = number(&rows, 0)?;
    (1..rows.num_columns()).map(|index| Ok((number(&rows, index)?, all))).collect()
}

async fn failure_of_rows(
    context: &SessionContext,
    model: &Model,
    table: &str,
    test: &DataTest,
    (failing, all): (u64, u64),
) -> Result<Failure> {
    let Rule::Rows { fails } = &test.rule else { return Err(Error::internal("a test of rows has no condition")) };
    let rows =
        joined_rows(model, table, &test.joins, row_time(test), false).and_then(|plan| plan.filter(fails.clone()));
    let examples = examples(context, model, table, test, rows.map_err(query_error)?, fails).await?;
    Ok(Failure { message: format!("{} of {}", grouped(failing), rows_in_words(all)), rows: Some(failing), examples })
}

/// Runs a test that compares rows with others.
async fn compared(context: &SessionContext, model: &Model, table: &str, test: &DataTest) -> Result<Option<Failure>> {
    match &test.rule {
        Rule::Rows { .. } => Err(Error::internal("a test of single rows compares none")),
        Rule::Unique { columns, filter } => repeated(context, model, table, test, (columns, filter.as_ref())).await,
        Rule::Relationship { value, table: other, column: key, filter } => {
            let wanted = filter.iter().cloned().fold(value.clone().is_not_null(), Expr::and);
            let orphans = || -> QueryResult<LogicalPlanBuilder> {
                let there = joined_rows(model, other, &BTreeSet::new(), None, false)?
                    .project(vec![
                        Expr::Column(Column::new(Some(TableReference::bare(other.as_str())), key)).alias("key"),
                    ])?
                    .alias("there")?;
                let same = value.clone().eq(Expr::Column(Column::new(Some("there"), "key")));
                let here = joined_rows(model, table, &test.joins, row_time(test), false)?.filter(wanted)?;
                here.join_on(there.build()?, JoinType::LeftAnti, vec![same])
            };
            let orphans = orphans().map_err(query_error)?;
            let counted = orphans.clone().aggregate(Vec::<Expr>::new(), vec![count(lit(1_i64)).alias("rows")]);
            let counted = counted.and_then(|plan| plan.build()).map_err(query_error)?;
            let failing = number(&one_batch(context, counted).await?, 0)?;
            if failing == 0 {
                return Ok(None);
            }
            let examples = examples(context, model, table, test, orphans, value).await?;
            let message = match failing {
                1 => format!("1 row has no partner in `{other}`"),
                _ => format!("{} rows have no partner in `{other}`", grouped(failing)),
            };
            Ok(Some(Failure { message, rows: Some(failing), examples }))
        }
    }
}

/// The rows that have something alike that must be unique.
async fn repeated(
    context: &SessionContext,
    model: &Model,
    table: &str,
    test: &DataTest,
    (columns, filter): (&[Expr], Option<&Expr>),
) -> Result<Option<Failure>> {
    let groups = || -> QueryResult<LogicalPlanBuilder> {
        let mut plan = joined_rows(model, table, &test.joins, row_time(test), false)?;
        if let Some(filter) = filter {
            plan = plan.filter(filter.clone())?;
        }
        for column in columns {
            plan = plan.filter(column.clone().is_not_null())?;
        }
        let mut labels: Vec<String> = Vec::new();
        for column in columns {
            let label = label(table, test, column);
            // Results have one column of each name.
            let label = if labels.contains(&label) || label == "rows" { format!("{label} again") } else { label };
            labels.push(label);
        }
        let keys: Vec<Expr> = columns.iter().zip(labels).map(|(column, label)| column.clone().alias(label)).collect();
        plan.aggregate(keys, vec![count(lit(1_i64)).alias("rows")])?.filter(column("rows").gt(lit(1_i64)))
    };
    let groups = groups().map_err(query_error)?;
    let totals = vec![sum(column("rows")).alias("rows"), count(lit(1_i64)).alias("groups")];
    let counted = groups.clone().aggregate(Vec::<Expr>::new(), totals).and_then(|plan| plan.build());
    let counted = one_batch(context, counted.map_err(query_error)?).await?;
    let (rows, keys) = (number(&counted, 0)?, number(&counted, 1)?);
    if keys == 0 {
        return Ok(None);
    }
    let order = |name: &str, is_ascending: bool| column(name).sort(is_ascending, true);
    let names: Vec<String> = groups.schema().fields().iter().map(|field| field.name().clone()).collect();
    let mut orders = vec![order("rows", false)];
    orders.extend(names.iter().filter(|name| *name != "rows").map(|name| order(name, true)));
    let most = groups.sort(orders).and_then(|plan| plan.limit(0, Some(EXAMPLES))).and_then(|plan| plan.build());
    let examples = Examples::of(&one_batch(context, most.map_err(query_error)?).await?, EXAMPLES)?;
    let values = if keys == 1 { "1 value".to_owned() } else { format!("{} values", grouped(keys)) };
    let message = format!("{} share {values}", rows_in_words(rows));
    Ok(Some(Failure { message, rows: Some(rows), examples }))
}

/// A few of the rows of a plan: the columns of the primary key, then those that an expression looks at.
async fn examples(
    context: &SessionContext,
    model: &Model,
    table: &str,
    test: &DataTest,
    rows: LogicalPlanBuilder,
    looked_at: &Expr,
) -> Result<Examples> {
    let own = model.tables.get(table);
    let is_there = |name: &&String| own.is_some_and(|own| !own.lacks(name));
    let key = own.into_iter().flat_map(|own| own.primary_key.iter()).filter(is_there);
    let mut shown: Vec<Column> = Vec::new();
    let keys = key.map(|name| Column::new(Some(TableReference::bare(table)), name));
    let mut others: Vec<Column> = looked_at.column_refs().into_iter().cloned().collect();
    others.sort();
    for column in keys.chain(others) {
        if !shown.contains(&column) {
            shown.push(column);
        }
    }
    let columns: Vec<Expr> = shown.into_iter().map(Expr::Column).collect();
    // In an order, so that the same data shows the same rows.
    let orders = columns.iter().map(|column| column.clone().sort(true, true)).collect::<Vec<_>>();
    let named = columns.iter().map(|column| column.clone().alias(label(table, test, column))).collect::<Vec<_>>();
    let plan = rows.sort(orders).and_then(|plan| plan.limit(0, Some(EXAMPLES)));
    let plan = plan.and_then(|plan| plan.project(named)).and_then(|plan| plan.build()).map_err(query_error)?;
    Examples::of(&one_batch(context, plan).await?, EXAMPLES)
}

/// A column as people write it: its name, with the path to it where it lies behind a join.
fn label(table: &str, test: &DataTest, expression: &Expr) -> String {
    let Expr::Column(column) = expression else { return expression.schema_name().to_string() };
    let relation = column.relation.as_ref().map(|relation| relation.table()).filter(|relation| *relation != table);
    let path = relation.and_then(|relation| test.joins.iter().find(|path| join_alias(path) == relation));
    path.map_or_else(|| column.name.clone(), |path| format!("{}.{}", path.join("."), column.name))
}

fn row_time(test: &DataTest) -> Option<RowTime<'_>> {
    test.time.as_ref().map(|(time, data_type)| (time, data_type))
}

async fn one_batch(context: &SessionContext, plan: LogicalPlan) -> Result<RecordBatch> {
    let (schema, batches) = collect(context, plan).await?;
    concat_batches(&schema, &batches).map_err(|error| query_error(error.into()))
}

/// A count in the first row; none is 0.
fn number(rows: &RecordBatch, index: usize) -> Result<u64> {
    let column = cast_array(rows.column(index), &DataType::Int64).map_err(|error| query_error(error.into()))?;
    let column = column.as_primitive::<Int64Type>();
    let is_there = !column.is_empty() && column.is_valid(0);
    Ok(if is_there { column.value(0).unsigned_abs() } else { 0 })
}

fn rows_in_words(count: u64) -> String {
    if count == 1 { "1 row".to_owned() } else { format!("{} rows", grouped(count)) }
}

/// With commas, as people read counts.
fn grouped(number: u64) -> String {
    format_number(Some(number as f64), None, None)
}
