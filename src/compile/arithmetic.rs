//! Arithmetic over other KPIs: each input computed by itself, then put side by side by period and member.
//!
//! Inputs meet in a full outer join where NULL members are equal, so that nothing one of them has is lost. A total is joined
//! to what the others have: it makes no members of its own.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::functions::expr_fn::{coalesce, least};
use datafusion::logical_expr::{Expr, JoinType, LogicalPlanBuilder, cast, lit, when};

use super::aggregate::{key_names, keys, periods, value_columns, value_of_no_rows, with_columns};
use super::bounds::{Extent, date};
use super::{Cell, Compiler, Days, OBSERVATIONS, PERIOD_START, VALUE, column, input_cell, null_safe, of, period_of};
use crate::functions::period_shift;
use crate::model::{Arithmetic, Earlier, Input, Kpi, ROWS, Shape, input_rows};
use crate::time::Grain;

pub(super) fn plan(compiler: &Compiler, arithmetic: &Arithmetic, cell: &Cell) -> Result<LogicalPlanBuilder> {
    let plan = inputs_together(compiler, &arithmetic.inputs, cell)?;
    plan.project(value_columns(&arithmetic.value, cell))
}

/// The inputs side by side: the keys, each input's value under its name and its observations, and the fewest observations.
pub(super) fn inputs_together(compiler: &Compiler, inputs: &[Input], cell: &Cell) -> Result<LogicalPlanBuilder> {
    let extent = compiler.together(inputs.iter().map(|input| input.kpi.as_str()));
    // Totals last: they are joined to the members that the others have.
    let mut ordered: Vec<&Input> = inputs.iter().collect();
    ordered.sort_by_key(|input| input.is_total);
    let (first, others) = ordered.split_first().ok_or_else(|| internal_datafusion_err!("arithmetic without inputs"))?;
    let mut plan = input_plan(compiler, first, extent, cell)?;
    let mut names = vec![first.name.as_str()];
    for input in others {
        let other = input_plan(compiler, input, extent, &input_cell(compiler.kpi(&input.kpi)?, input, cell))?;
        plan = match input.is_total {
            false => side_by_side(plan, &names, other, &input.name, cell)?,
            true => beside_total(plan, &names, other, input, compiler, cell)?,
        };
        names.push(&input.name);
    }
    plan = within_data(compiler, inputs, cell, plan)?;

    let mut columns = keys(cell);
    for input in inputs {
        columns.push(filled(compiler, input, cell)?.alias(&input.name));
    }
    let rows = |input: &&Input| -> Result<Expr> {
        let rows = column(&input_rows(&input.name));
        // A query that does not say how many observations it has leaves that open here as well.
        let is_known = !matches!(&compiler.kpi(&input.kpi)?.shape, Shape::Query(query) if !query.has_observations);
        Ok(if is_known { coalesce(vec![rows, lit(0_i64)]) } else { rows })
    };
    let rows: Vec<Expr> = ordered.iter().map(rows).collect::<Result<_>>()?;
    columns.extend(names.iter().zip(&rows).map(|(name, rows)| rows.clone().alias(input_rows(name))));
    columns.push(if rows.len() == 1 { rows[0].clone() } else { least(rows) }.alias(ROWS));
    plan.project(columns)
}

/// One input: the keys, its value under its name, and its number of observations.
fn input_plan(compiler: &Compiler, input: &Input, extent: Option<Extent>, cell: &Cell) -> Result<LogicalPlanBuilder> {
    let kpi = compiler.kpi(&input.kpi)?;
    let (plan, period) = match input.earlier {
        None => (compiler.kpi_plan(kpi, cell)?, column(PERIOD_START)),
        Some(Earlier::Previous(previous)) => {
            let count = previous
                .periods(cell.grain)
                .ok_or_else(|| internal_datafusion_err!("an offset that is no whole number of {}s", cell.grain))?;
            let later = period_shift().call(vec![column(PERIOD_START), lit(cell.grain.name()), lit(count)]);
            (earlier(compiler, kpi, extent, cell, count)?, later)
        }
        Some(Earlier::StartOf(unit)) => (since_start(compiler, kpi, extent, cell, unit)?, of("later", PERIOD_START)),
    };
    let mut columns = vec![period.alias(PERIOD_START)];
    columns.extend(cell.dimensions.iter().map(|name| column(name)));
    columns.push(column(VALUE).alias(&input.name));
    columns.push(column(OBSERVATIONS).alias(input_rows(&input.name)));
    plan.project(columns)
}

/// An input as it was in the first period of the year, or of whatever the periods lie in, once for each of them.
fn since_start(
    compiler: &Compiler,
    kpi: &Kpi,
    extent: Option<Extent>,
    cell: &Cell,
    unit: Grain,
) -> Result<LogicalPlanBuilder> {
    let calendar = compiler.calendar();
    let first_of_day = |day| calendar.period_start(calendar.period_start(day, unit)?, cell.grain);
    // Inside a part of a period, the first period of the year is that part, or it is over and counts as a whole.
    let days = compiler.days.filter(|(start, _)| first_of_day(*start) == Some(*start));
    let at_start = Compiler { days, ..*compiler }.kpi_plan(kpi, cell)?.alias("at_start")?;
    let start = |day| calendar.period_start(day, cell.grain);
    let days = extent.and_then(|extent| Some((start(extent.first)?, start(extent.last)?)));
    let (first, last) = days.unwrap_or_else(|| (crate::catalog::known_days().1, crate::catalog::known_days().0));
    let first_of = period_of(period_of(column(PERIOD_START), unit, calendar), cell.grain, calendar);
    let later = periods(compiler.model, cell.grain, first, last)?
        .project(vec![column(PERIOD_START), first_of.alias("first_period")])?
        .alias("later")?;
    let same = of("at_start", PERIOD_START).eq(of("later", "first_period"));
    at_start.join_on(later.build()?, JoinType::Inner, [same])
}

/// An input as an earlier one. The period that an open one is compared with counts only as many days as that has so far:
/// to date against to date.
fn earlier(
    compiler: &Compiler,
    kpi: &Kpi,
    extent: Option<Extent>,
    cell: &Cell,
    count: i64,
) -> Result<LogicalPlanBuilder> {
    if let Some((start, last)) = compiler.days {
        // Already inside a part of a period: what is read before it is as long a part of an earlier one.
        let days = as_many_days(compiler, start, last, cell.grain, count);
        return Compiler { days, ..*compiler }.kpi_plan(kpi, cell);
    }
    let whole = compiler.kpi_plan(kpi, cell)?;
    let days = extent.and_then(|extent| days_so_far(compiler, extent, cell.grain, count));
    let Some((start, _)) = days else { return Ok(whole) };
    let is_compared = column(PERIOD_START).eq(lit(date(start)));
    let part = Compiler { days, ..*compiler }.kpi_plan(kpi, cell)?.filter(is_compared.clone())?;
    whole.filter(!is_compared)?.union(part.build()?)
}

/// Of the period `count` periods before the running one, the days that the running one has had; `None` where none runs.
/// A period that is over is compared as a whole, even where the data may still be late.
fn days_so_far(compiler: &Compiler, extent: Extent, grain: Grain, count: i64) -> Option<Days> {
    let calendar = compiler.calendar();
    let open = calendar.period_start(extent.last, grain)?;
    if calendar.period_end(open, grain)?.pred_opt()? <= extent.calendar_until {
        return None;
    }
    as_many_days(compiler, open, extent.last, grain, count)
}

/// As many days of the period `count` periods before the one that starts on `start`, or all that it has.
fn as_many_days(compiler: &Compiler, start: NaiveDate, last: NaiveDate, grain: Grain, count: i64) -> Option<Days> {
    let calendar = compiler.calendar();
    let earlier = calendar.shift(start, grain, -count)?;
    let end = earlier.checked_add_signed(last - start)?;
    Some((earlier, end.min(calendar.period_end(earlier, grain)?.pred_opt()?)))
}

/// A total beside the rows that there are, by period and by the dimensions that it has.
fn beside_total(
    left: LogicalPlanBuilder,
    left_inputs: &[&str],
    total: LogicalPlanBuilder,
    input: &Input,
    compiler: &Compiler,
    cell: &Cell,
) -> Result<LogicalPlanBuilder> {
    let shared = input_cell(compiler.kpi(&input.kpi)?, input, cell);
    let (left, total) = (left.alias("before")?, total.alias(&input.name)?);
    let same: Vec<Expr> = key_names(&shared).map(|name| null_safe(of("before", name), of(&input.name, name))).collect();
    let joined = left.join_on(total.build()?, JoinType::Left, same)?;
    let mut columns: Vec<Expr> = key_names(cell).map(|name| of("before", name).alias(name)).collect();
    for name in left_inputs {
        columns.push(of("before", name).alias(*name));
        columns.push(of("before", &input_rows(name)).alias(input_rows(name)));
    }
    columns.push(of(&input.name, &input.name).alias(&input.name));
    columns.push(of(&input.name, &input_rows(&input.name)).alias(input_rows(&input.name)));
    joined.project(columns)
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
    let same: Vec<Expr> = key_names(cell).map(|name| null_safe(of("before", name), of(right_input, name))).collect();
    let joined = left.join_on(right.build()?, JoinType::Full, same)?;
    // Where a side has no row, its period is NULL; only then the other side's member counts, which may be NULL itself.
    let is_left = of("before", PERIOD_START).is_not_null();
    let mut columns = Vec::new();
    for name in key_names(cell) {
        let key = when(is_left.clone(), of("before", name)).otherwise(of(right_input, name))?;
        columns.push(key.alias(name));
    }
    for name in left_inputs {
        columns.push(of("before", name).alias(*name));
        columns.push(of("before", &input_rows(name)).alias(input_rows(name)));
    }
    columns.push(of(right_input, right_input).alias(right_input));
    columns.push(of(right_input, &input_rows(right_input)).alias(input_rows(right_input)));
    joined.project(columns)
}

/// Leaves out periods that only an earlier input reaches into: behind the data there are no periods.
fn within_data(
    compiler: &Compiler,
    inputs: &[Input],
    cell: &Cell,
    plan: LogicalPlanBuilder,
) -> Result<LogicalPlanBuilder> {
    if inputs.iter().all(|input| input.earlier.is_none()) {
        return Ok(plan);
    }
    let mut last = None;
    for input in inputs {
        let extent = compiler.extent(compiler.kpi(&input.kpi)?);
        last = last.max(extent.and_then(|extent| compiler.calendar().period_start(extent.last, cell.grain)));
    }
    match last {
        Some(last) => plan.filter(column(PERIOD_START).lt_eq(lit(date(last)))),
        None => Ok(plan),
    }
}

/// An input's value, where a missing row means no rows if its definition fills with zero and its data covers the period.
fn filled(compiler: &Compiler, input: &Input, cell: &Cell) -> Result<Expr> {
    let kpi = compiler.kpi(&input.kpi)?;
    let value = column(&input.name);
    let Some(no_rows) = without_rows(compiler, kpi)? else { return Ok(value) };
    let Some(extent) = compiler.extent(kpi) else { return Ok(value) };
    let calendar = compiler.calendar();
    let count = match input.earlier {
        None => 0,
        Some(Earlier::Previous(previous)) => previous.periods(cell.grain).unwrap_or(0),
        // Covered from the first such period on, wherever in it the data begins.
        Some(Earlier::StartOf(_)) => return Ok(value),
    };
    let shifted = |day| calendar.shift(calendar.period_start(day, cell.grain)?, cell.grain, count);
    let (Some(first), Some(last)) = (shifted(extent.first), shifted(extent.last)) else { return Ok(value) };
    let is_covered = column(PERIOD_START).between(lit(date(first)), lit(date(last)));
    let is_missing = column(&input_rows(&input.name)).is_null().and(is_covered);
    when(is_missing, cast(no_rows, kpi.value_type.clone())).otherwise(value)
}

/// The value of a KPI where none of its tables has a row, if its definition and those below fill with zero.
fn without_rows(compiler: &Compiler, kpi: &Kpi) -> Result<Option<Expr>> {
    let arithmetic = match &kpi.shape {
        Shape::Aggregate(aggregate) if aggregate.fill_zero => return value_of_no_rows(aggregate).map(Some),
        Shape::Aggregate(_) | Shape::Composite(_) | Shape::Query(_) => return Ok(None),
        Shape::Arithmetic(arithmetic) => arithmetic,
    };
    let mut values = BTreeMap::new();
    for input in &arithmetic.inputs {
        let below = compiler.kpi(&input.kpi)?;
        let Some(value) = without_rows(compiler, below)? else { return Ok(None) };
        values.insert(input.name.as_str(), cast(value, below.value_type.clone()));
    }
    with_columns(&arithmetic.value.expression, |name| values.get(name).cloned()).map(Some)
}
