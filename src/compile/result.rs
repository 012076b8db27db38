//! The columns that every published row has, whatever the KPI: its name, grain, period and breakdown, the value with its
//! parts, the target and how the value stands against it.

use std::collections::BTreeMap;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Result, ScalarValue, internal_datafusion_err};
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, cast, lit, when};

use super::bounds::date;
use super::{Cell, Compiler, DENOMINATOR, NUMERATOR, OBSERVATIONS, PERIOD_END, PERIOD_START, VALUE, column};
use crate::functions::period_shift;
use crate::model::{Better, Dimension, Goal, Kpi, Measure, MeasureFunction, Shape, Target};

/// What `breakdown` says of rows without dimensions.
pub const BREAKDOWN_OVERALL: &str = "overall";

/// What `breakdown` says of rows with these dimensions.
pub fn breakdown(dimensions: &[String]) -> String {
    if dimensions.is_empty() { BREAKDOWN_OVERALL.to_owned() } else { dimensions.join(", ") }
}

/// The published rows of a KPI for one cell. All cells of a KPI have the same columns: dimensions that a cell does not
/// have are NULL in it, and `breakdown` tells them from the member NULL.
pub fn result_plan(compiler: &Compiler, kpi: &Kpi, cell: &Cell) -> Result<LogicalPlan> {
    let plan = compiler.kpi_plan(kpi, cell)?;
    let one_later = period_shift().call(vec![column(PERIOD_START), lit(cell.grain.name()), lit(1_i64)]);
    let complete_until = compiler.extent(kpi).map(|extent| extent.complete_until);
    let is_complete = match complete_until {
        Some(last) => one_later.clone().lt_eq(lit(date(last.succ_opt().unwrap_or(last)))),
        None => lit(false),
    };
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
    let target = kpi.target.as_ref().filter(|_| is_judged(compiler, kpi, cell));
    columns.push(target_value(target)?.alias("target"));
    columns.push(status(kpi, target, is_complete.clone())?.alias("status"));
    columns.push(is_complete.alias("is_complete"));
    columns.push(lit(true).alias("is_ripe"));
    columns.extend(measures(kpi).iter().map(|measure| column(&measure.name)));
    plan.project(columns)?.build()
}

fn measures(kpi: &Kpi) -> &[Measure] {
    match &kpi.shape {
        Shape::Aggregate(aggregate) => &aggregate.measures,
        Shape::Arithmetic(_) => &[],
    }
}

/// Every dimension in a KPI's sets, in the order of the definition.
fn dimensions(compiler: &Compiler, kpi: &Kpi) -> Result<Vec<(String, Dimension)>> {
    let mut found: Vec<(String, Dimension)> = Vec::new();
    for name in kpi.dimension_sets.iter().flatten() {
        if found.iter().any(|(known, _)| known == name) {
            continue;
        }
        let dimension = known_dimensions(compiler, kpi)
            .and_then(|known| known.get(name))
            .ok_or_else(|| internal_datafusion_err!("dimension `{name}` was not prepared"))?;
        found.push((name.clone(), dimension.clone()));
    }
    Ok(found)
}

fn known_dimensions<'a>(compiler: &'a Compiler, kpi: &'a Kpi) -> Option<&'a BTreeMap<String, Dimension>> {
    match &kpi.shape {
        Shape::Aggregate(aggregate) => Some(&aggregate.dimensions),
        Shape::Arithmetic(arithmetic) => {
            known_dimensions(compiler, compiler.model.kpis.get(&arithmetic.inputs.first()?.kpi)?)
        }
    }
}

fn no_number() -> Expr {
    cast(lit(ScalarValue::Null), DataType::Float64)
}

fn value_as_double() -> Expr {
    cast(column(VALUE), DataType::Float64)
}

/// Whether a target is meant for the rows of a cell. A rate has one target at every grain and for every member. A sum or a
/// count has it for the whole and for the first grain only: a tenth of the company need not reach the company's revenue,
/// nor a year a month's.
fn is_judged(compiler: &Compiler, kpi: &Kpi, cell: &Cell) -> bool {
    let is_whole = cell.dimensions.iter().all(|name| kpi.required_dimensions.contains(name));
    is_rate(compiler, kpi) || (is_whole && kpi.grains.first() == Some(&cell.grain))
}

/// Whether a value does not grow with the number of rows: it divides, or holds only least and greatest values.
fn is_rate(compiler: &Compiler, kpi: &Kpi) -> bool {
    let (value, is_rate_below) = match &kpi.shape {
        Shape::Aggregate(aggregate) => {
            let is_extreme =
                |measure: &Measure| matches!(measure.function, MeasureFunction::Min | MeasureFunction::Max);
            (&aggregate.value, aggregate.measures.iter().all(is_extreme))
        }
        Shape::Arithmetic(arithmetic) => {
            let mut inputs = kpi.inputs().into_iter().filter_map(|input| compiler.model.kpis.get(input));
            (&arithmetic.value, inputs.all(|input| is_rate(compiler, input)))
        }
    };
    let divides =
        value.expression.exists(|node| // A constant below the line only changes the unit.
        Ok(matches!(node, Expr::BinaryExpr(BinaryExpr { op: Operator::Divide, right, .. }) if !right.column_refs().is_empty())));
    is_rate_below || divides.unwrap_or(false)
}

/// Whether a target holds in the row's period: the period begins on or behind `from` and not behind `until`.
fn holds(target: &Target) -> Expr {
    let from = target.from.map(|from| column(PERIOD_START).gt_eq(lit(date(from))));
    let until = target.until.map(|until| column(PERIOD_START).lt_eq(lit(date(until))));
    from.into_iter().chain(until).reduce(Expr::and).unwrap_or_else(|| lit(true))
}

/// The value to reach; of a band the bound that is missed or nearest.
fn target_value(target: Option<&Target>) -> Result<Expr> {
    let Some(target) = target else { return Ok(no_number()) };
    let value = match &target.goal {
        Goal::Value { value, .. } => lit(*value),
        Goal::Between { low, high } => {
            let middle = low + (high - low) / 2.0;
            when(value_as_double().lt(lit(middle)), lit(*low)).otherwise(lit(*high))?
        }
    };
    when(holds(target), value).otherwise(no_number())
}

/// How a value stands: `open` and `no_data` and `small_n` are not judged; then `on_track`, `at_risk`, `off_track` or
/// `critical`. NULL where there is no target.
fn status(kpi: &Kpi, target: Option<&Target>, is_complete: Expr) -> Result<Expr> {
    let none = || cast(lit(ScalarValue::Null), DataType::Utf8);
    let Some(target) = target else { return Ok(none()) };
    let mut ladder = when(!holds(target), none());
    ladder = ladder.when(!is_complete, lit("open"));
    ladder = ladder.when(column(VALUE).is_null(), lit("no_data"));
    if let Some(minimum) = kpi.minimum_n {
        let minimum = i64::try_from(minimum).unwrap_or(i64::MAX);
        ladder = ladder.when(column(OBSERVATIONS).lt(lit(minimum)), lit("small_n"));
    }
    match &target.goal {
        Goal::Between { low, high } => {
            ladder = ladder.when(value_as_double().between(lit(*low), lit(*high)), lit("on_track"));
        }
        Goal::Value { value, warn, critical } => {
            let reaches = |bound: f64| match kpi.better {
                Better::Higher | Better::Within | Better::None => value_as_double().gt_eq(lit(bound)),
                Better::Lower => value_as_double().lt_eq(lit(bound)),
            };
            ladder = ladder.when(reaches(*value), lit("on_track"));
            if let Some(warn) = warn {
                ladder = ladder.when(reaches(*warn), lit("at_risk"));
            }
            if let Some(critical) = critical {
                ladder = ladder.when(!reaches(*critical), lit("critical"));
            }
        }
    }
    ladder.otherwise(lit("off_track"))
}
