//! Cohorts: entities by the period in which they first appeared, and what they do at each age.
//!
//! Every entity is there at every age that its cohort has reached, active or not, so that a share has the whole cohort below
//! the line.

use datafusion::common::Result;
use datafusion::functions_aggregate::expr_fn::min;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlanBuilder, lit, when};

use super::aggregate::of_nothing;
use super::bounds::date;
use super::entities::{one_by_one, together};
use super::table::{TableLeaves, dimension_keys};
use super::{Cell, PERIOD_START, Request, column, day_of, null_safe, of, period_of, rows_of};
use crate::functions::period_shift;
use crate::model::{ACTIVE, AGE, AGES, Aggregate, Cohorts, Entities, Placement};

const MEMBERS: &str = "members";
const AT_AGE: &str = "at_age";
// Two words, so that no dimension is called so.
const COHORT: &str = "appeared in";
const FIRST_DAY: &str = "first day";

pub(super) fn plan(
    leaves: &TableLeaves,
    aggregate: &Aggregate,
    cohorts: &Cohorts,
    request: &Request,
) -> Result<LogicalPlanBuilder> {
    let Cohorts { entities, by, ages } = cohorts;
    let dimensions: Vec<String> = request.cell.dimensions.iter().filter(|name| *name != AGE).cloned().collect();
    let inner = Cell { grain: *by, dimensions: dimensions.clone() };
    // Whoever appears, appeared at some time: days before those of interest count as well.
    let request_of_age = Request { cell: &inner, view: request.view.from_the_beginning(), ..*request };
    let at_age = one_by_one(leaves, aggregate, entities, &request_of_age)?.alias(AT_AGE)?;
    let members = members(leaves, aggregate, entities, &request_of_age)?.alias(MEMBERS)?;
    let every_age = rows_of((0..=*ages).map(|age| vec![lit(age).alias(AGE)]).collect())?.alias(AGES)?;

    let then = period_shift().call(vec![of(MEMBERS, COHORT), lit(by.name()), of(AGES, AGE)]);
    let mut grid = members.cross_join(every_age.build()?)?;
    let calendar = &leaves.model.project.calendar;
    if let Some(last) = request.view.last().and_then(|last| calendar.period_start(last, *by)) {
        grid = grid.filter(then.clone().lt_eq(lit(date(last))))?;
    }
    let keys: Vec<&str> =
        dimensions.iter().chain(entities.keys.iter().map(|(name, _)| name)).map(String::as_str).collect();
    // All keys alike: DataFusion hashes keys of one kind only, and compares those of the other kind pair by pair.
    let mut same = vec![null_safe(then, of(AT_AGE, PERIOD_START))];
    same.extend(keys.iter().map(|name| null_safe(of(MEMBERS, name), of(AT_AGE, name))));
    let joined = grid.join_on(at_age.build()?, JoinType::Left, same)?;

    let is_active = of(AT_AGE, PERIOD_START).is_not_null();
    let mut columns = vec![of(MEMBERS, COHORT).alias(PERIOD_START), of(AGES, AGE).alias(AGE)];
    columns.extend(keys.iter().map(|name| of(MEMBERS, name).alias(*name)));
    columns.push(is_active.clone().alias(ACTIVE));
    for computed in &entities.columns {
        let there = of(AT_AGE, &computed.name);
        columns.push(
            when(is_active.clone(), there)
                .otherwise(of_nothing(&computed.expression, &entities.measures)?)?
                .alias(&computed.name),
        );
    }
    together(joined.project(columns)?.alias("entities")?, aggregate, request.cell)
}

/// The first period of each entity, within each member.
fn members(
    leaves: &TableLeaves,
    aggregate: &Aggregate,
    entities: &Entities,
    request: &Request,
) -> Result<LogicalPlanBuilder> {
    let mut all = dimension_keys(aggregate, request.cell)?;
    all.entity = entities.keys.clone();
    let counted = leaves.counted(aggregate, all, &[], request)?;
    let calendar = &leaves.model.project.calendar;
    let day = day_of(&counted.time, &counted.time_type, calendar);
    let mut plan = counted.plan;
    if let Placement::Stock(stock) = request.placement
        && let Some((to, to_type)) = &stock.to
    {
        // A row that ends on the day on which it begins was never there.
        plan = plan.filter(to.clone().is_null().or(day_of(to, to_type, calendar).gt(day.clone())))?;
    }
    let groups: Vec<Expr> = counted.keys.iter().map(|(name, key)| key.clone().alias(name)).collect();
    let plan = plan.aggregate(groups, vec![min(day).alias(FIRST_DAY)])?;
    let mut columns: Vec<Expr> = counted.keys.iter().map(|(name, _)| column(name)).collect();
    columns.push(period_of(column(FIRST_DAY), request.cell.grain, calendar).alias(COHORT));
    plan.project(columns)
}
