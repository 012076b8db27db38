//! Aggregates of one table: rows placed in periods, grouped, and the value computed from the aggregates.

use std::collections::BTreeSet;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result, ScalarValue, TableReference, exec_err, internal_datafusion_err};
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::functions::expr_fn::coalesce;
use datafusion::logical_expr::builder::table_source;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlanBuilder, cast, lit, when};
use std::sync::Arc;

use super::bounds::{Bounds, Extent, date, day_of};
use super::{
    Cell, Compiler, DENOMINATOR, Days, Leaves, NUMERATOR, OBSERVATIONS, PERIOD_START, VALUE, column, period_of,
};
use crate::catalog::{PERIODS, known_days};
use crate::model::{
    Aggregate, JoinPath, Kpi, Measure, MeasureFunction, Model, ROWS, Table, Value, join_alias, measure_expression,
};

pub(super) fn plan(compiler: &Compiler, kpi: &Kpi, aggregate: &Aggregate, cell: &Cell) -> Result<LogicalPlanBuilder> {
    let mut plan = compiler.leaves.leaf(kpi, aggregate, cell, compiler.days)?;
    if aggregate.fill_zero
        && let Some(extent) = compiler.extents.get(&kpi.name)
    {
        plan = fill(compiler, aggregate, cell, plan, extent)?;
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
    let none = || cast(lit(datafusion::common::ScalarValue::Null), Float64);
    match ratio {
        Some((numerator, denominator)) => (cast(numerator.clone(), Float64), cast(denominator.clone(), Float64)),
        None => (none(), none()),
    }
}

/// The columns that identify a row of a cell.
pub(super) fn keys(cell: &Cell) -> Vec<Expr> {
    [PERIOD_START].into_iter().chain(cell.dimensions.iter().map(String::as_str)).map(column).collect()
}

/// What a value is where there are no rows and `fill: zero` says that this means none: computed from counts and sums of 0,
/// so that a difference is 0 and whatever needs a denominator, or the largest of nothing, is NULL.
pub(super) fn value_of_no_rows(aggregate: &Aggregate) -> Result<Expr> {
    let zero = |name: &str| {
        let measure = aggregate.measures.iter().find(|measure| measure.name == name)?;
        Some(match measure.function {
            MeasureFunction::Sum | MeasureFunction::Count | MeasureFunction::CountDistinct => {
                cast(lit(0_i64), measure.data_type.clone())
            }
            MeasureFunction::Min | MeasureFunction::Max => cast(lit(ScalarValue::Null), measure.data_type.clone()),
        })
    };
    let value = aggregate.value.expression.clone().transform(|node| match &node {
        Expr::Column(name) => Ok(zero(&name.name).map_or_else(|| Transformed::no(node.clone()), Transformed::yes)),
        _ => Ok(Transformed::no(node)),
    })?;
    Ok(value.data)
}

/// Adds the covered periods that have no rows, for every member seen; their counts and sums are 0.
fn fill(
    compiler: &Compiler,
    aggregate: &Aggregate,
    cell: &Cell,
    found: LogicalPlanBuilder,
    extent: &Extent,
) -> Result<LogicalPlanBuilder> {
    let calendar = compiler.calendar();
    let (first_known, last_known) = known_days();
    if extent.first < first_known || extent.last > last_known {
        return exec_err!(
            "the rows reach from {} to {}; dates before {first_known} or behind {last_known} must be mended",
            extent.first,
            extent.last
        );
    }
    let starts = calendar.period_start(extent.first, cell.grain).zip(calendar.period_start(extent.last, cell.grain));
    let Some((first, last)) = starts else { return Ok(found) };
    let spine = LogicalPlanBuilder::scan(
        PERIODS,
        provider_as_source(compiler.model.periods.between(cell.grain, first, last)?),
        None,
    )?
    .filter(
        column("grain").eq(lit(cell.grain.name())).and(column(PERIOD_START).between(lit(date(first)), lit(date(last)))),
    )?
    .project(vec![column(PERIOD_START)])?
    .alias("every_period")?;
    let mut every = spine;
    if !cell.dimensions.is_empty() {
        let members = cell.dimensions.iter().map(|name| column(name));
        let members =
            LogicalPlanBuilder::from(found.clone().build()?).project(members)?.distinct()?.alias("members")?;
        every = every.cross_join(members.build()?)?;
    }
    let every = every.project(keys_of("every_period", "members", cell))?.alias("every")?;
    let found = found.alias("found")?;
    let same = key_names(cell).map(|name| null_safe(of("every", name), of("found", name)));
    let joined = every.join_on(found.build()?, JoinType::Left, same.collect::<Vec<_>>())?;
    let mut columns: Vec<Expr> = key_names(cell).map(|name| of("every", name).alias(name)).collect();
    for measure in &aggregate.measures {
        let value = of("found", &measure.name);
        let value = match measure.function {
            MeasureFunction::Sum | MeasureFunction::Count | MeasureFunction::CountDistinct => {
                // Only a period without rows: the sum of rows without a value stays NULL.
                let is_absent = of("found", ROWS).is_null();
                when(is_absent, cast(lit(0_i64), measure.data_type.clone())).otherwise(value)?
            }
            MeasureFunction::Min | MeasureFunction::Max => value,
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

fn key_names(cell: &Cell) -> impl Iterator<Item = &str> {
    [PERIOD_START].into_iter().chain(cell.dimensions.iter().map(String::as_str))
}

/// A column of a named part of a join.
pub(super) fn of(relation: &str, name: &str) -> Expr {
    Expr::Column(Column::new(Some(TableReference::bare(relation)), name))
}

/// Equal, where two NULLs are equal too: the member NULL is a member.
pub(super) fn null_safe(left: Expr, right: Expr) -> Expr {
    datafusion::logical_expr::binary_expr(left, datafusion::logical_expr::Operator::IsNotDistinctFrom, right)
}

/// Aggregates straight from the table.
pub struct TableLeaves<'a> {
    pub model: &'a Model,
    pub bounds: Bounds,
    /// Whether tables stand in the plan by their names only, for SQL that people read. Such a plan cannot run.
    pub by_name: bool,
}

impl Leaves for TableLeaves<'_> {
    fn leaf(&self, _kpi: &Kpi, aggregate: &Aggregate, cell: &Cell, days: Option<Days>) -> Result<LogicalPlanBuilder> {
        let calendar = &self.model.project.calendar;
        let mut joins = aggregate.joins.clone();
        let mut groups = vec![
            period_of(day_of(&aggregate.time, &aggregate.time_type, calendar), cell.grain, calendar)
                .alias(PERIOD_START),
        ];
        for name in &cell.dimensions {
            let dimension = aggregate
                .dimensions
                .get(name)
                .ok_or_else(|| internal_datafusion_err!("dimension `{name}` was not prepared"))?;
            joins.extend(dimension.joins.iter().cloned());
            groups.push(dimension.expression.clone().alias(name));
        }
        let mut plan = joined_rows(self.model, &aggregate.table, &joins, self.by_name)?;
        let bounds = match days {
            Some((first, last)) => Bounds { since: Some(first), until: last.min(self.bounds.until) },
            None => self.bounds,
        };
        let bounds = bounds.condition(&aggregate.time, &aggregate.time_type, calendar);
        plan = plan.filter(match &aggregate.condition {
            Some(condition) => condition.clone().and(bounds),
            None => bounds,
        })?;
        let mut columns: Vec<Expr> = aggregate.measures.iter().map(measure_column).collect();
        columns.push(measure_expression(MeasureFunction::Count, None, None).alias(ROWS));
        plan.aggregate(groups, columns)
    }
}

fn measure_column(measure: &Measure) -> Expr {
    measure_expression(measure.function, measure.argument.clone(), measure.filter.clone()).alias(&measure.name)
}

/// The rows of a table with those behind its joins. Each join finds at most one row, so none is multiplied or lost.
pub fn joined_rows(
    model: &Model,
    table: &str,
    joins: &BTreeSet<JoinPath>,
    by_name: bool,
) -> Result<LogicalPlanBuilder> {
    let base = find(model, table)?;
    let mut plan = scan(base, table, by_name)?;
    // A path sorts behind its own beginning, so what it joins to is there already.
    for path in joins {
        let (name, before) = path.split_last().ok_or_else(|| internal_datafusion_err!("an empty join path"))?;
        let from = before.iter().try_fold(base, |table, join| follow(model, table, join))?;
        let join = from.joins.get(name).ok_or_else(|| internal_datafusion_err!("join `{name}` was not prepared"))?;
        let relation = if before.is_empty() { table.to_owned() } else { join_alias(before) };
        let alias = join_alias(path);
        let target = scan(find(model, &join.table)?, &alias, by_name)?;
        let left: Vec<Column> = join.on.iter().map(|(here, _)| qualified(&relation, here)).collect();
        let right: Vec<Column> = join.on.iter().map(|(_, there)| qualified(&alias, there)).collect();
        plan = plan.join(target.build()?, JoinType::Left, (left, right), None)?;
    }
    Ok(plan)
}

fn qualified(relation: &str, name: &str) -> Column {
    Column::new(Some(TableReference::bare(relation)), name)
}

fn follow<'a>(model: &'a Model, table: &Table, join: &str) -> Result<&'a Table> {
    let join = table.joins.get(join).ok_or_else(|| internal_datafusion_err!("join `{join}` was not prepared"))?;
    find(model, &join.table)
}

fn find<'a>(model: &'a Model, table: &str) -> Result<&'a Table> {
    let table = model.tables.get(table).ok_or_else(|| internal_datafusion_err!("table `{table}` was not prepared"))?;
    Ok(table)
}

fn scan(table: &Table, alias: &str, by_name: bool) -> Result<LogicalPlanBuilder> {
    let name = TableReference::bare(table.name.as_str());
    let source = match by_name {
        true => table_source(&table.schema),
        false => provider_as_source(Arc::new(ViewTable::new(table.plan.as_ref().clone(), None))),
    };
    let plan = LogicalPlanBuilder::scan(name, source, None)?;
    if alias == table.name { Ok(plan) } else { plan.alias(TableReference::bare(alias)) }
}
