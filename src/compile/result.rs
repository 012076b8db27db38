//! The columns that every published row has, whatever the KPI: its name, grain, period and breakdown, the value with its
//! parts, the target and how the value stands against it.

use chrono::NaiveDate;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, internal_datafusion_err};
use datafusion::functions::expr_fn::abs;
use datafusion::logical_expr::{Expr, LogicalPlan, cast, lit, when};

use super::bounds::date;
use super::ripeness::ripe;
use super::target::{Looked, looked_up};
use super::{
    Cell, Compiler, DENOMINATOR, NUMERATOR, OBSERVATIONS, PERIOD_END, PERIOD_START, VALUE, column, next_period,
    no_number,
};
use crate::days::DayRanges;
use crate::model::{Better, Dimension, Goal, Kpi, known_dimensions};

/// The relation and the column of what is wanted.
const TARGET: &str = "target";

/// What `breakdown` says of rows without dimensions.
pub const BREAKDOWN_OVERALL: &str = "overall";

/// What `breakdown` says of rows with these dimensions.
pub fn breakdown(dimensions: &[String]) -> String {
    if dimensions.is_empty() { BREAKDOWN_OVERALL.to_owned() } else { dimensions.join(", ") }
}

/// The published rows of a KPI for one cell. All cells of a KPI have the same columns: dimensions that a cell does not
/// have are NULL in it, and `breakdown` tells them from the member NULL. With `only` there are no rows but those of periods
/// in which one of these days lies.
pub fn result_plan(compiler: &Compiler, kpi: &Kpi, cell: &Cell, only: Option<&DayRanges>) -> Result<LogicalPlan> {
    let mut plan = compiler.kpi_plan(kpi, cell)?;
    if let Some(only) = only.filter(|only| !only.is_all()) {
        plan = plan.filter(in_periods(&only.whole_periods(cell.grain, compiler.calendar())))?;
    }
    let one_later = next_period(column(PERIOD_START), cell.grain);
    let complete_until = compiler.extent(kpi).map(|extent| extent.complete_until);
    let is_complete = match complete_until {
        Some(last) => one_later.clone().lt_eq(lit(date(last.succ_opt().unwrap_or(last)))),
        None => lit(false),
    };
    let is_ripe = ripe(compiler, kpi, cell)?;
    let Looked { plan, target } = looked_up(compiler, kpi, cell, plan, TARGET)?;
    let mut columns = vec![
        lit(kpi.name.as_str()).alias("kpi"),
        lit(cell.grain.name()).alias("grain"),
        column(PERIOD_START),
        one_later.alias(PERIOD_END),
        lit(breakdown(&cell.dimensions)).alias("breakdown"),
    ];
    for (name, dimension) in dimensions(compiler, kpi)? {
        let member = match cell.dimensions.contains(&name) {
            true => column(&name),
            false => lit(ScalarValue::try_from(&dimension.data_type)?),
        };
        columns.push(member.alias(name));
    }
    for name in [VALUE, NUMERATOR, DENOMINATOR, OBSERVATIONS] {
        columns.push(column(name));
    }
    let status = status(kpi, target.as_ref(), is_complete.clone(), is_ripe.clone())?;
    columns.push(target.unwrap_or_else(no_number).alias("target"));
    columns.push(status.alias("status"));
    columns.push(is_complete.alias("is_complete"));
    columns.push(is_ripe.unwrap_or_else(|| lit(true)).alias("is_ripe"));
    columns.extend(kpi.stored().iter().map(|(name, _)| column(name)));
    plan.project(columns)?.build()
}

/// Whether the period of a row is one of these, of which these are all days.
fn in_periods(days: &DayRanges) -> Expr {
    let within = days.iter().map(|(first, last)| {
        let since = (first != NaiveDate::MIN).then(|| column(PERIOD_START).gt_eq(lit(date(first))));
        let until = (last != NaiveDate::MAX).then(|| column(PERIOD_START).lt_eq(lit(date(last))));
        since.into_iter().chain(until).reduce(Expr::and).unwrap_or_else(|| lit(true))
    });
    within.reduce(Expr::or).unwrap_or_else(|| lit(false))
}

/// Every dimension in a KPI's sets, in the order of the definition.
fn dimensions(compiler: &Compiler, kpi: &Kpi) -> Result<Vec<(String, Dimension)>> {
    let mut found: Vec<(String, Dimension)> = Vec::new();
    for name in kpi.dimension_sets.iter().flatten() {
        if found.iter().any(|(known, _)| known == name) {
            continue;
        }
        let dimension = known_dimensions(&compiler.model.kpis, kpi)
            .and_then(|known| known.get(name))
            .ok_or_else(|| internal_datafusion_err!("dimension `{name}` was not prepared"))?;
        found.push((name.clone(), dimension.clone()));
    }
    Ok(found)
}

fn value_as_double() -> Expr {
    cast(column(VALUE), DataType::Float64)
}

/// How a value stands: `open`, `no_data`, `unripe` and `small_n` are not judged; then `on_track`, `at_risk`, `off_track` or
/// `critical`. NULL where there is no target.
fn status(kpi: &Kpi, wanted: Option<&Expr>, is_complete: Expr, is_ripe: Option<Expr>) -> Result<Expr> {
    let none = || cast(lit(ScalarValue::Null), DataType::Utf8);
    let (Some(target), Some(wanted)) = (&kpi.target, wanted) else { return Ok(none()) };
    let mut ladder = when(wanted.clone().is_null(), none());
    ladder = ladder.when(!is_complete, lit("open"));
    ladder = ladder.when(column(VALUE).is_null(), lit("no_data"));
    if let Some(is_ripe) = is_ripe {
        ladder = ladder.when(!is_ripe, lit("unripe"));
    }
    if let Some(minimum) = kpi.minimum_n {
        let minimum = i64::try_from(minimum).unwrap_or(i64::MAX);
        ladder = ladder.when(column(OBSERVATIONS).lt(lit(minimum)), lit("small_n"));
    }
    let reaches = |bound: Expr| match kpi.better {
        Better::Higher | Better::Within | Better::None => value_as_double().gt_eq(bound),
        Better::Lower => value_as_double().lt_eq(bound),
    };
    let (warn, critical) = match &target.goal {
        Goal::Between { low, high } => {
            ladder = ladder.when(value_as_double().between(lit(*low), lit(*high)), lit("on_track"));
            (None, None)
        }
        Goal::Value { value, warn, critical } => {
            ladder = ladder.when(reaches(lit(*value)), lit("on_track"));
            (warn.map(lit), critical.map(lit))
        }
        Goal::Kpi { warn, critical, .. } | Goal::Table { warn, critical, .. } => {
            ladder = ladder.when(reaches(wanted.clone()), lit("on_track"));
            // So much on the bad side of the target, also where that is below 0.
            let share = |share: &f64| wanted.clone() - abs(wanted.clone()) * lit(1.0 - *share);
            (warn.as_ref().map(share), critical.as_ref().map(share))
        }
    };
    if let Some(warn) = warn {
        ladder = ladder.when(reaches(warn), lit("at_risk"));
    }
    if let Some(critical) = critical {
        ladder = ladder.when(!reaches(critical), lit("critical"));
    }
    ladder.otherwise(lit("off_track"))
}
