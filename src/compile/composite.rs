//! Indices: how far other KPIs have come on their way to their targets, weighed.
//!
//! The index is 100 where every part stands at its target. A part without a value or a target has no weight, and with less
//! than half of all weight there is no index.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::functions::expr_fn::{coalesce, greatest, least};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, cast, lit, when};

use super::aggregate::keys;
use super::arithmetic::inputs_together;
use super::target::{Looked, looked_up};
use super::{Cell, Compiler, DENOMINATOR, NUMERATOR, OBSERVATIONS, VALUE, column, no_number};
use crate::model::{Better, Composite, Goal, Input, Part, ROWS};

/// More than this a part cannot make up for others.
const HIGHEST: f64 = 1.2;

pub(super) fn plan(compiler: &Compiler, composite: &Composite, cell: &Cell) -> Result<LogicalPlanBuilder> {
    let inputs: Vec<Input> = (composite.parts.iter())
        .map(|part| Input { name: part.kpi.clone(), kpi: part.kpi.clone(), earlier: None, is_total: false })
        .collect();
    let mut plan = inputs_together(compiler, &inputs, cell)?;
    let mut targets = Vec::new();
    for part in &composite.parts {
        let names: Vec<String> = plan.schema().fields().iter().map(|field| field.name().clone()).collect();
        let name = format!("target of {}", part.kpi);
        let looked = looked_up(compiler, compiler.kpi(&part.kpi)?, cell, plan, &name)?;
        let Looked { plan: with_target, target } = looked;
        let mut columns: Vec<Expr> = names.iter().map(|name| column(name)).collect();
        columns.push(target.unwrap_or_else(no_number).alias(&name));
        plan = with_target.project(columns)?;
        targets.push(column(&name));
    }
    let mut columns = keys(cell);
    for (part, target) in composite.parts.iter().zip(targets) {
        columns.push(attainment(compiler, part, target)?.alias(part.attainment_name()));
    }
    columns.push(column(ROWS));
    let plan = plan.project(columns)?;

    let zero = || lit(0.0);
    let known = |part: &Part| when(column(&part.attainment_name()).is_not_null(), lit(part.weight)).otherwise(zero());
    let weighed = |part: &Part| coalesce(vec![column(&part.attainment_name()) * lit(part.weight), zero()]);
    let sum = |terms: Vec<Expr>| terms.into_iter().reduce(|one, other| one + other).unwrap_or_else(zero);
    let weight = sum(composite.parts.iter().map(known).collect::<Result<_>>()?);
    let points = sum(composite.parts.iter().map(weighed).collect());
    let all: f64 = composite.parts.iter().map(|part| part.weight).sum();
    let is_enough = weight.clone().gt_eq(lit(all / 2.0)).and(weight.clone().gt(zero()));
    let value = when(is_enough, lit(100.0) * points.clone() / weight.clone()).end()?;
    let mut columns = keys(cell);
    columns.push(value.alias(VALUE));
    columns.push((lit(100.0) * points).alias(NUMERATOR));
    columns.push(weight.alias(DENOMINATOR));
    columns.push(column(ROWS).alias(OBSERVATIONS));
    columns.extend(composite.parts.iter().map(|part| column(&part.attainment_name())));
    plan.project(columns)
}

/// 1 at the target, and never more than [`HIGHEST`] or less than 0. At the floor or below it nothing is attained, or
/// everything where less is better; a target that is looked up there cannot be measured by.
fn attainment(compiler: &Compiler, part: &Part, target: Expr) -> Result<Expr> {
    let kpi = compiler.kpi(&part.kpi)?;
    let value = cast(column(&part.kpi), DataType::Float64);
    let above = |value: Expr| value - lit(part.floor);
    let is_at_floor = value.clone().lt_eq(lit(part.floor));
    let least_is_best = |share: Expr| when(is_at_floor.clone(), lit(HIGHEST)).otherwise(share);
    let raw = match (kpi.target.as_ref().map(|target| &target.goal), kpi.better) {
        (Some(Goal::Between { low, high }), _) => {
            let is_inside = value.clone().between(lit(*low), lit(*high));
            let below = above(value.clone()) / lit(low - part.floor);
            let beyond = lit(high - part.floor) / above(value.clone());
            when(is_inside, lit(1.0)).when(value.clone().lt(lit(*low)), below).otherwise(beyond)?
        }
        (_, Better::Lower) => least_is_best(above(target.clone()) / above(value.clone()))?,
        (_, Better::Higher | Better::Within | Better::None) => above(value.clone()) / above(target.clone()),
    };
    let clipped = least(vec![greatest(vec![raw, lit(0.0)]), lit(HIGHEST)]);
    let can_be_measured = target.clone().gt(lit(part.floor));
    when(value.is_not_null().and(target.is_not_null()).and(can_be_measured), clipped).end()
}
