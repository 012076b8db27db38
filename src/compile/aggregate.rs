//! Aggregates of one table: covered periods without rows filled, and the value computed from the aggregates.
//!
//! How rows come to periods and aggregates is not decided here, but in `table` and `placement`.

use std::sync::Arc;

use chrono::NaiveDate;
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::datasource::provider_as_source;
use datafusion::functions::expr_fn::coalesce;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlanBuilder, cast, lit, when};

use super::bounds::{Extent, date};
use super::placement::windows_of_days;
use super::{
    Cell, Compiler, DENOMINATOR, NUMERATOR, OBSERVATIONS, PERIOD_START, Request, VALUE, column, no_number, null_safe,
    of,
};
use crate::catalog::{PERIODS, known_days};
use crate::model::{Aggregate, Kpi, Measure, Model, Placement, ROWS, Value};
use crate::time::Grain;

pub(super) fn plan(compiler: &Compiler, kpi: &Kpi, aggregate: &Aggregate, cell: &Cell) -> Result<LogicalPlanBuilder> {
    let view = compiler.view(kpi);
    let mut plan = match &aggregate.placement {
        Placement::Window(window) if aggregate.is_made_of_days() => {
            let days = Cell { grain: Grain::Day, dimensions: cell.dimensions.clone() };
            let request = Request { placement: &Placement::Event, cell: &days, view: view.from_the_beginning() };
            let days = compiler.leaves.leaf(kpi, aggregate, &request)?;
            windows_of_days(days, aggregate, *window, cell, compiler.periods(cell, view))?
        }
        placement => compiler.leaves.leaf(kpi, aggregate, &Request { placement, cell, view })?,
    };
    if aggregate.fill_zero
        && let Some(extent) = compiler.extents.get(&kpi.name)
    {
        plan = fill(compiler, kpi, aggregate, cell, plan, extent)?;
    }
    let mut columns = value_columns(&aggregate.value, cell);
    columns.extend(aggregate.measures.iter().map(|measure| column(&measure.name)));
    plan.project(columns)
}

/// The columns that every shape ends with: the keys, the value, both sides of a ratio, the number of observations.
pub(super) fn value_columns(value: &Value, cell: &Cell) -> Vec<Expr> {
    let (numerator, denominator) = sides(&value.ratio);
    let mut columns = keys(cell);
    columns.push(value.expression.clone().alias(VALUE));
    columns.push(numerator.alias(NUMERATOR));
    columns.push(denominator.alias(DENOMINATOR));
    columns.push(value.observations.clone().alias(OBSERVATIONS));
    columns
}

/// The numerator and denominator of a ratio as doubles, or NULLs.
fn sides(ratio: &Option<(Expr, Expr)>) -> (Expr, Expr) {
    use datafusion::arrow::datatypes::DataType::Float64;
    match ratio {
        Some((numerator, denominator)) => (cast(numerator.clone(), Float64), cast(denominator.clone(), Float64)),
        None => (no_number(), no_number()),
    }
}

/// The columns that identify a row of a cell.
pub(super) fn keys(cell: &Cell) -> Vec<Expr> {
    key_names(cell).map(column).collect()
}

/// What a value is where there are no rows and `fill: zero` says that this means none: computed from counts and sums of 0,
/// so that a difference is 0 and whatever needs a denominator, or the largest of nothing, is NULL.
pub(super) fn value_of_no_rows(aggregate: &Aggregate) -> Result<Expr> {
    with_columns(&aggregate.value.expression, |name| {
        let measure = aggregate.measures.iter().find(|measure| measure.name == name)?;
        Some(if measure.function.is_zero_of_nothing() { nothing(measure) } else { no_value(measure) })
    })
}

/// What an expression over measures is of no rows at all: counts are 0, everything else is NULL.
pub(super) fn of_nothing(expression: &Expr, measures: &[Measure]) -> Result<Expr> {
    with_columns(expression, |name| {
        let measure = measures.iter().find(|measure| measure.name == name)?;
        Some(if measure.function.is_count() { nothing(measure) } else { no_value(measure) })
    })
}

/// 0 in the type of a measure.
fn nothing(measure: &Measure) -> Expr {
    cast(lit(0_i64), measure.data_type.clone())
}

/// NULL in the type of a measure.
fn no_value(measure: &Measure) -> Expr {
    cast(lit(ScalarValue::Null), measure.data_type.clone())
}

/// An expression with other expressions in the place of some of its columns.
pub(super) fn with_columns(expression: &Expr, replacement: impl Fn(&str) -> Option<Expr>) -> Result<Expr> {
    let replaced = expression.clone().transform(|node| match &node {
        Expr::Column(name) => Ok(match replacement(&name.name) {
            Some(other) => Transformed::yes(other),
            None => Transformed::no(node),
        }),
        _ => Ok(Transformed::no(node)),
    })?;
    Ok(replaced.data)
}

/// Adds the covered periods that have no rows, for every member seen; their counts and sums are 0.
fn fill(
    compiler: &Compiler,
    kpi: &Kpi,
    aggregate: &Aggregate,
    cell: &Cell,
    found: LogicalPlanBuilder,
    extent: &Extent,
) -> Result<LogicalPlanBuilder> {
    let calendar = compiler.calendar();
    let starts = calendar.period_start(extent.first, cell.grain).zip(calendar.period_start(extent.last, cell.grain));
    let Some((first, last)) = starts else { return Ok(found) };
    if extent.first < known_days().0 || extent.last > known_days().1 {
        return exec_err!("{}", out_of_range(extent));
    }
    let spine =
        periods(compiler.model, cell.grain, first, last)?.project(vec![column(PERIOD_START)])?.alias("every_period")?;
    let mut every = spine;
    if !cell.dimensions.is_empty() {
        let names = || cell.dimensions.iter().map(|name| column(name));
        let mut members = LogicalPlanBuilder::from(found.clone().build()?).project(names())?;
        // Within a part of the days only those count that are seen there.
        let known = compiler.members.get(&kpi.name).filter(|_| compiler.days.is_none());
        let is_same = |known: &&(Cell, Arc<dyn TableProvider>)| known.0.is_same_as(cell);
        if let Some((_, known)) = known.and_then(|known| known.iter().find(is_same)) {
            let known = LogicalPlanBuilder::scan("known members", provider_as_source(known.clone()), None)?;
            let types = members.schema().fields().iter().map(|field| field.data_type().clone());
            let known = known.project(names().zip(types).map(|(name, of)| {
                let alias = name.schema_name().to_string();
                cast(name, of).alias(alias)
            }))?;
            members = members.union(known.build()?)?;
        }
        every = every.cross_join(members.distinct()?.alias("members")?.build()?)?;
    }
    let every = every.project(keys_of("every_period", "members", cell))?.alias("every")?;
    let found = found.alias("found")?;
    let same = key_names(cell).map(|name| null_safe(of("every", name), of("found", name)));
    let joined = every.join_on(found.build()?, JoinType::Left, same.collect::<Vec<_>>())?;
    let mut columns: Vec<Expr> = key_names(cell).map(|name| of("every", name).alias(name)).collect();
    for measure in &aggregate.measures {
        let value = of("found", &measure.name);
        let value = match measure.function.is_zero_of_nothing() {
            // Only a period without rows: the sum of rows without a value stays NULL.
            true => when(of("found", ROWS).is_null(), nothing(measure)).otherwise(value)?,
            false => value,
        };
        columns.push(value.alias(&measure.name));
    }
    columns.push(coalesce(vec![of("found", ROWS), lit(0_i64)]).alias(ROWS));
    joined.project(columns)
}

fn keys_of(periods: &str, members: &str, cell: &Cell) -> Vec<Expr> {
    let members = cell.dimensions.iter().map(|name| of(members, name).alias(name));
    [of(periods, PERIOD_START).alias(PERIOD_START)].into_iter().chain(members).collect()
}

pub(super) fn key_names(cell: &Cell) -> impl Iterator<Item = &str> {
    [PERIOD_START].into_iter().chain(cell.dimensions.iter().map(String::as_str))
}

/// The periods of a grain between two starts, both included.
pub(super) fn periods(model: &Model, grain: Grain, first: NaiveDate, last: NaiveDate) -> Result<LogicalPlanBuilder> {
    let table = provider_as_source(model.periods.between(grain, first, last)?);
    let is_asked =
        column("grain").eq(lit(grain.name())).and(column(PERIOD_START).between(lit(date(first)), lit(date(last))));
    LogicalPlanBuilder::scan(PERIODS, table, None)?.filter(is_asked)
}

/// What to say of dates that no calendar of a company reaches.
pub(super) fn out_of_range(extent: &Extent) -> String {
    let (first, last) = known_days();
    format!(
        "the rows reach from {} to {}; dates before {first} or behind {last} must be mended",
        extent.first, extent.last
    )
}
