//! Arithmetic over other KPIs: each input computed by itself, then put side by side by period and member.
//!
//! Inputs meet in a full outer join where NULL members are equal, so that nothing one of them has is lost.

use datafusion::common::{Result, internal_datafusion_err};
use datafusion::functions::expr_fn::{coalesce, least};
use datafusion::logical_expr::{Expr, JoinType, LogicalPlanBuilder, cast, lit, when};

use super::aggregate::{keys, null_safe, of, sides, value_of_no_rows};
use super::bounds::date;
use super::{Cell, Compiler, DENOMINATOR, Days, NUMERATOR, OBSERVATIONS, PERIOD_START, VALUE, column};
use crate::functions::period_shift;
use crate::model::{Arithmetic, Input, Kpi, ROWS, Shape, input_rows};
use crate::time::Grain;

pub(super) fn plan(compiler: &Compiler, arithmetic: &Arithmetic, cell: &Cell) -> Result<LogicalPlanBuilder> {
    let mut inputs = arithmetic.inputs.iter();
    let first = inputs.next().ok_or_else(|| internal_datafusion_err!("arithmetic without inputs"))?;
    let mut plan = input_plan(compiler, first, cell)?;
    let mut names = vec![first.name.as_str()];
    for input in inputs {
        plan = side_by_side(plan, &names, input_plan(compiler, input, cell)?, &input.name, cell)?;
        names.push(&input.name);
    }
    plan = within_data(compiler, arithmetic, cell, plan)?;

    let mut columns = keys(cell);
    for input in &arithmetic.inputs {
        columns.push(filled(compiler, input, cell)?.alias(&input.name));
    }
    let rows: Vec<Expr> = names.iter().map(|name| coalesce(vec![column(&rows_of(name)), lit(0_i64)])).collect();
    columns.extend(names.iter().zip(&rows).map(|(name, rows)| rows.clone().alias(rows_of(name))));
    columns.push(if rows.len() == 1 { rows[0].clone() } else { least(rows) }.alias(ROWS));
    let plan = plan.project(columns)?;

    let value = &arithmetic.value;
    let (numerator, denominator) = sides(&value.ratio);
    let mut columns = keys(cell);
    columns.push(value.expression.clone().alias(VALUE));
    columns.push(numerator.alias(NUMERATOR));
    columns.push(denominator.alias(DENOMINATOR));
    columns.push(value.observations.clone().alias(OBSERVATIONS));
    plan.project(columns)
}

fn rows_of(name: &str) -> String {
    input_rows(name)
}

/// One input: the keys, its value under its name, and its number of observations.
fn input_plan(compiler: &Compiler, input: &Input, cell: &Cell) -> Result<LogicalPlanBuilder> {
    let kpi = input_kpi(compiler, input)?;
    let (plan, period) = match input.previous {
        None => (compiler.kpi_plan(kpi, cell)?, column(PERIOD_START)),
        Some(previous) => {
            let count = previous
                .periods(cell.grain)
                .ok_or_else(|| internal_datafusion_err!("an offset that is no whole number of {}s", cell.grain))?;
            let later = period_shift().call(vec![column(PERIOD_START), lit(cell.grain.name()), lit(count)]);
            (earlier(compiler, kpi, cell, count)?, later)
        }
    };
    let mut columns = vec![period.alias(PERIOD_START)];
    columns.extend(cell.dimensions.iter().map(|name| column(name)));
    columns.push(column(VALUE).alias(&input.name));
    columns.push(column(OBSERVATIONS).alias(rows_of(&input.name)));
    plan.project(columns)
}

/// An input as an earlier one. The period that an open one is compared with counts only as many days as that has so far:
/// to date against to date.
fn earlier(compiler: &Compiler, kpi: &Kpi, cell: &Cell, count: i64) -> Result<LogicalPlanBuilder> {
    // Where only some days count, this one is itself part of an earlier period, and looks back with as many days.
    if let Some(days) = compiler.days {
        let (start, last) = shifted(compiler, days, cell.grain, count)
            .ok_or_else(|| internal_datafusion_err!("a period before all dates"))?;
        return part(compiler, kpi, cell, (start, last))?.filter(column(PERIOD_START).eq(lit(date(start))));
    }
    let whole = compiler.kpi_plan(kpi, cell)?;
    let Some((start, last)) = days_so_far(compiler, kpi, cell.grain, count) else { return Ok(whole) };
    let is_compared = column(PERIOD_START).eq(lit(date(start)));
    let part = part(compiler, kpi, cell, (start, last))?.filter(is_compared.clone())?;
    whole.filter(!is_compared)?.union(part.build()?)
}

/// A KPI of which only some days count.
fn part(compiler: &Compiler, kpi: &Kpi, cell: &Cell, days: Days) -> Result<LogicalPlanBuilder> {
    let Compiler { model, leaves, extents, days: _ } = *compiler;
    Compiler { model, leaves, extents, days: Some(days) }.kpi_plan(kpi, cell)
}

/// As many days of the period `count` periods before the one that begins on the first of `days`.
fn shifted(compiler: &Compiler, days: Days, grain: Grain, count: i64) -> Option<Days> {
    let calendar = compiler.calendar();
    let start = calendar.shift(days.0, grain, -count)?;
    let last = start.checked_add_signed(days.1 - days.0)?;
    Some((start, last.min(calendar.period_end(start, grain)?.pred_opt()?)))
}

/// Of the period `count` periods before the open one, the days that the open one has had; `None` where none is open.
fn days_so_far(compiler: &Compiler, kpi: &Kpi, grain: Grain, count: i64) -> Option<Days> {
    let calendar = compiler.calendar();
    let extent = compiler.extent(kpi)?;
    let open = calendar.period_start(extent.last, grain)?;
    if calendar.period_end(open, grain)?.pred_opt()? <= extent.complete_until {
        return None;
    }
    shifted(compiler, (open, extent.last), grain, count)
}

fn input_kpi<'a>(compiler: &'a Compiler, input: &Input) -> Result<&'a Kpi> {
    let kpi = compiler.model.kpis.get(&input.kpi);
    Ok(kpi.ok_or_else(|| internal_datafusion_err!("input `{}` was not prepared", input.kpi))?)
}

fn side_by_side(
    left: LogicalPlanBuilder,
    left_inputs: &[&str],
    right: LogicalPlanBuilder,
    right_input: &str,
    cell: &Cell,
) -> Result<LogicalPlanBuilder> {
    let left = left.alias("before")?;
    let right = right.alias(right_input)?;
    let key_names: Vec<&str> = [PERIOD_START].into_iter().chain(cell.dimensions.iter().map(String::as_str)).collect();
    let same: Vec<Expr> = key_names.iter().map(|name| null_safe(of("before", name), of(right_input, name))).collect();
    let joined = left.join_on(right.build()?, JoinType::Full, same)?;
    // Where a side has no row, its period is NULL; only then the other side's member counts, which may be NULL itself.
    let is_left = of("before", PERIOD_START).is_not_null();
    let mut columns = Vec::new();
    for name in key_names {
        let key = when(is_left.clone(), of("before", name)).otherwise(of(right_input, name))?;
        columns.push(key.alias(name));
    }
    for name in left_inputs {
        columns.push(of("before", name).alias(*name));
        columns.push(of("before", &rows_of(name)).alias(rows_of(name)));
    }
    columns.push(of(right_input, right_input).alias(right_input));
    columns.push(of(right_input, &rows_of(right_input)).alias(rows_of(right_input)));
    joined.project(columns)
}

/// Leaves out periods that only an earlier input reaches into: behind the data there are no periods.
fn within_data(
    compiler: &Compiler,
    arithmetic: &Arithmetic,
    cell: &Cell,
    plan: LogicalPlanBuilder,
) -> Result<LogicalPlanBuilder> {
    if arithmetic.inputs.iter().all(|input| input.previous.is_none()) {
        return Ok(plan);
    }
    let mut last = None;
    for input in &arithmetic.inputs {
        let extent = compiler.extent(input_kpi(compiler, input)?);
        last = last.max(extent.and_then(|extent| compiler.calendar().period_start(extent.last, cell.grain)));
    }
    match last {
        Some(last) => plan.filter(column(PERIOD_START).lt_eq(lit(date(last)))),
        None => Ok(plan),
    }
}

/// An input's value, where a missing row means no rows if its definition fills with zero and its data covers the period.
fn filled(compiler: &Compiler, input: &Input, cell: &Cell) -> Result<Expr> {
    let kpi = input_kpi(compiler, input)?;
    let value = column(&input.name);
    let Shape::Aggregate(aggregate) = &kpi.shape else { return Ok(value) };
    let Some(extent) = compiler.extents.get(&kpi.name).filter(|_| aggregate.fill_zero) else { return Ok(value) };
    let count = input.previous.and_then(|previous| previous.periods(cell.grain)).unwrap_or(0);
    let calendar = compiler.calendar();
    let shifted = |day| calendar.shift(calendar.period_start(day, cell.grain)?, cell.grain, count);
    let (Some(first), Some(last)) = (shifted(extent.first), shifted(extent.last)) else { return Ok(value) };
    let is_covered = column(PERIOD_START).between(lit(date(first)), lit(date(last)));
    let is_missing = column(&rows_of(&input.name)).is_null().and(is_covered);
    when(is_missing, cast(value_of_no_rows(aggregate)?, kpi.value_type.clone())).otherwise(value)
}
