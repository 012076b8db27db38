//! What is wanted of a value in its period and for its member: a number, the value of another KPI, or a row of a table.
//!
//! Whether a value reaches it is said in `result`.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlanBuilder, cast, lit, when};

use super::aggregate::key_names;
use super::bounds::date;
use super::table::scan_table;
use super::{Cell, Compiler, PERIOD_START, VALUE, column, day_of, null_safe, of, period_of};
use crate::model::{Goal, Kpi, Target, TargetTable, can_be_asked, is_rate};

/// Rows with what is wanted of each.
pub(super) struct Looked {
    pub plan: LogicalPlanBuilder,
    /// The value to reach as a double, of a band the bound that is missed or nearest; `None` where the KPI has no target
    /// for such rows at all.
    pub target: Option<Expr>,
}

/// Finds the target of each row of `plan`, which has the cell's keys and the KPI's value under its own name or as `value`.
/// Columns that are joined to it stand under `relation`.
pub(super) fn looked_up(
    compiler: &Compiler,
    kpi: &Kpi,
    cell: &Cell,
    plan: LogicalPlanBuilder,
    relation: &str,
) -> Result<Looked> {
    let none = |plan| Ok(Looked { plan, target: None });
    let Some(target) = &kpi.target else { return none(plan) };
    let (plan, value) = match &target.goal {
        Goal::Value { .. } | Goal::Between { .. } if !is_meant(compiler, kpi, cell) => return none(plan),
        Goal::Value { value, .. } => (plan, lit(*value)),
        Goal::Between { low, high } => {
            let middle = low + (high - low) / 2.0;
            let name = if plan.schema().has_column_with_unqualified_name(VALUE) { VALUE } else { kpi.name.as_str() };
            let value = cast(column(name), DataType::Float64);
            let bound = when(value.lt(lit(middle)), lit(*low)).otherwise(lit(*high))?;
            (plan, bound)
        }
        Goal::Kpi { kpi: wanted, .. } => {
            let wanted = compiler.kpi(wanted)?;
            if !can_be_asked(compiler.model, wanted, &cell.dimensions) {
                return none(plan);
            }
            beside(plan, cell, compiler.kpi_plan(wanted, cell)?, relation)?
        }
        Goal::Table { table, .. } => {
            let is_known = cell.dimensions.iter().all(|name| table.dimensions.contains(name));
            let is_first = kpi.grains.first() == Some(&cell.grain);
            if !is_known || !(table.has_grain || is_first) {
                return none(plan);
            }
            beside(plan, cell, rows_of(compiler, table, cell)?, relation)?
        }
    };
    let target = match holds(target) {
        Some(holds) => when(holds, value).end()?,
        None => value,
    };
    Ok(Looked { plan, target: Some(target) })
}

/// The wanted values beside the rows.
fn beside(
    plan: LogicalPlanBuilder,
    cell: &Cell,
    wanted: LogicalPlanBuilder,
    relation: &str,
) -> Result<(LogicalPlanBuilder, Expr)> {
    let names: Vec<&str> = key_names(cell).collect();
    // Under names of their own, so that the row's columns keep theirs.
    let wanted_name = |name: &str| format!("wanted {name}");
    let mut columns: Vec<Expr> = names.iter().map(|name| column(name).alias(wanted_name(name))).collect();
    columns.push(cast(column(VALUE), DataType::Float64).alias(WANTED));
    let wanted = wanted.project(columns)?.alias(relation)?;
    let judged = plan.alias(JUDGED)?;
    let same: Vec<Expr> =
        names.iter().map(|name| null_safe(of(JUDGED, name), of(relation, &wanted_name(name)))).collect();
    Ok((judged.join_on(wanted.build()?, JoinType::Left, same)?, of(relation, WANTED)))
}

const JUDGED: &str = "judged";
const WANTED: &str = "wanted";

/// The rows of a table of targets for one cell. Dimensions that the cell does not have are NULL in them.
fn rows_of(compiler: &Compiler, table: &TargetTable, cell: &Cell) -> Result<LogicalPlanBuilder> {
    let calendar = compiler.calendar();
    let own = |name: &str| of(&table.table, name);
    let mut conditions = vec![table.time.clone().is_not_null()];
    if table.has_grain {
        conditions.push(own("grain").eq(lit(cell.grain.name())));
    }
    for name in &table.dimensions {
        conditions.push(match cell.dimensions.contains(name) {
            true => own(name).is_not_null(),
            false => own(name).is_null(),
        });
    }
    let period = period_of(day_of(&table.time, &table.time_type, calendar), cell.grain, calendar);
    let mut groups = vec![period.alias(PERIOD_START)];
    groups.extend(cell.dimensions.iter().map(|name| own(name).alias(name)));
    // That there is one row for each is looked at before a run.
    scan_table(compiler.model, &table.table, compiler.leaves.is_by_name())?
        .filter(conditions.into_iter().reduce(Expr::and).unwrap_or_else(|| lit(true)))?
        .aggregate(groups, vec![max(own(VALUE)).alias(VALUE)])
}

/// Whether a number is meant as the target for the rows of a cell. A rate has one target at every grain and for every member.
/// A sum or a count has it for the whole and for the first grain only: a tenth of the company need not reach the company's
/// revenue, nor a year a month's.
fn is_meant(compiler: &Compiler, kpi: &Kpi, cell: &Cell) -> bool {
    let is_whole = cell.dimensions.iter().all(|name| kpi.required_dimensions.contains(name));
    is_rate(compiler.model, kpi) || (is_whole && kpi.grains.first() == Some(&cell.grain))
}

/// Whether a target holds in the row's period: the period begins on or behind `from` and not behind `until`.
fn holds(target: &Target) -> Option<Expr> {
    let from = target.from.map(|from| column(PERIOD_START).gt_eq(lit(date(from))));
    let until = target.until.map(|until| column(PERIOD_START).lt_eq(lit(date(until))));
    from.into_iter().chain(until).reduce(Expr::and)
}
