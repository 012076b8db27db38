//! Conversions: which event led to which, and what the base events have of it.
//!
//! A conversion belongs to the last base event of its entity that did not happen after it, if it is near enough; so each is
//! counted once. Base events of the same time are in the order of their keys, and the last of them counts. The events of an
//! entity are put in one line and numbered, so the work grows with the events and not with their pairs.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, ScalarValue, TableReference, internal_err};
use datafusion::functions_aggregate::expr_fn::{max, min};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, ExprSchemable, JoinType, LogicalPlanBuilder, WindowFunctionDefinition, cast, lit, when,
};

use super::aggregate::of_nothing;
use super::bounds::Bounds;
use super::placement::{ARGUMENTS, Counted, interval, measured};
use super::table::{TableLeaves, joined_rows};
use super::{Leaves, column, day_of, of};
use crate::functions::utc_timestamp;
use crate::model::{Aggregate, CONVERSION, CONVERSION_TIME, Conversions, JoinPath, Measure, Within};

// Two words, so that no column is called so.
const ENTITY: &str = "entity key";
const TIME: &str = "happened at";
const KIND: &str = "event kind";
const NUMBER: &str = "event number";
const BASE_TIME: &str = "base time";

const BASE: i64 = 0;
const FOLLOWS: i64 = 1;

/// The conversions of each base event: `entity key`, `event number` of the base event, `time` of the first one, and the
/// columns by name.
pub(super) fn conversions(
    leaves: &TableLeaves,
    aggregate: &Aggregate,
    conversions: &Conversions,
    until: NaiveDate,
    further_joins: &BTreeSet<JoinPath>,
) -> Result<LogicalPlanBuilder> {
    let calendar = &leaves.model.project.calendar;
    let seen = Bounds::until(until);
    let by_day = conversions.is_by_day();
    let happened = |time: &Expr, time_type: &DataType| match by_day {
        true => day_of(time, time_type, calendar),
        false => cast(time.clone(), utc_timestamp()),
    };

    let seen_after = seen.condition(&conversions.time, &conversions.time_type, calendar);
    let counts = conversions.condition.iter().cloned().chain([seen_after, conversions.entity.clone().is_not_null()]);
    let after_time = Some((&conversions.time, &conversions.time_type));
    let after = joined_rows(leaves.model, &conversions.table, &conversions.joins, after_time, leaves.is_by_name())?
        .filter(counts.reduce(Expr::and).unwrap_or_else(|| lit(true)))?;
    let mut columns = vec![
        conversions.entity.clone().alias(ENTITY),
        happened(&conversions.time, &conversions.time_type).alias(TIME),
        lit(FOLLOWS).alias(KIND),
    ];
    let mut parts: Vec<(String, DataType)> = Vec::new();
    let mut measures = Vec::new();
    for measure in &conversions.measures {
        let mut put = |value: &Expr, what: &str| -> Result<Expr> {
            let name = format!("{} {what}", measure.name);
            parts.push((name.clone(), value.get_type(after.schema())?));
            columns.push(value.clone().alias(&name));
            Ok(column(&name))
        };
        let filter = measure.filter.as_ref().map(|filter| put(filter, "if")).transpose()?;
        let arguments = measure.arguments.iter().zip(ARGUMENTS);
        let arguments = arguments.map(|(argument, word)| put(argument, word)).collect::<Result<_>>()?;
        measures.push(Measure { arguments, filter, ..measure.clone() });
    }
    let after = after.project(columns)?;

    // Base events before the days of interest can have taken a conversion from those inside, so all of them are in line.
    let mut joins = aggregate.joins.clone();
    joins.extend(further_joins.iter().cloned());
    let base_seen = seen.condition(&conversions.base_time, &conversions.base_time_type, calendar);
    let counts = aggregate.condition.iter().cloned().chain([base_seen, conversions.base_entity.clone().is_not_null()]);
    let mut columns = vec![
        conversions.base_entity.clone().alias(ENTITY),
        happened(&conversions.base_time, &conversions.base_time_type).alias(TIME),
        lit(BASE).alias(KIND),
    ];
    for (name, data_type) in &parts {
        columns.push(cast(lit(ScalarValue::Null), data_type.clone()).alias(name));
    }
    let base_time = Some((&conversions.base_time, &conversions.base_time_type));
    let before = joined_rows(leaves.model, &aggregate.table, &joins, base_time, leaves.is_by_name())?
        .filter(counts.reduce(Expr::and).unwrap_or_else(|| lit(true)))?
        .project(columns)?;

    let is_base = || column(KIND).eq(lit(BASE));
    let in_line = |call: Expr| -> Result<Expr> {
        let Expr::AggregateFunction(call) = call else { return Ok(call) };
        let function = WindowFunctionDefinition::AggregateUDF(call.func);
        Expr::from(datafusion::logical_expr::expr::WindowFunction::new(function, call.params.args))
            .partition_by(vec![column(ENTITY)])
            .order_by(vec![column(TIME).sort(true, true), column(KIND).sort(true, true)])
            .build()
    };
    let number = in_line(datafusion::functions_aggregate::expr_fn::count(when(is_base(), lit(1_i64)).end()?))?;
    let base_time = in_line(max(when(is_base(), column(TIME)).end()?))?;
    let events = before.union(after.build()?)?.alias("events")?;
    let (numbered, added) = with_window(events, vec![number, base_time])?;
    let [number, base_time] = added.as_slice() else { return internal_err!("two windows make two columns") };
    let mut columns = vec![column(ENTITY), column(TIME), column(KIND)];
    columns.extend(parts.iter().map(|(name, _)| column(name)));
    columns.push(number.clone().alias(NUMBER));
    columns.push(base_time.clone().alias(BASE_TIME));
    let numbered = numbered.project(columns)?.alias("numbered")?;

    let near = match conversions.within {
        Within::Calendar(length) => {
            let day = |name: &str| match by_day {
                true => column(name),
                false => day_of(&column(name), &utc_timestamp(), calendar),
            };
            day(TIME).lt_eq(day(BASE_TIME) + interval(length))
        }
        Within::Seconds(seconds) => {
            let exact = lit(ScalarValue::new_interval_mdn(0, 0, seconds.saturating_mul(1_000_000_000)));
            column(TIME).lt_eq(column(BASE_TIME) + exact)
        }
    };
    let counts = column(KIND).eq(lit(FOLLOWS)).and(column(NUMBER).gt(lit(0_i64))).and(near);
    let mut aggregates = vec![min(column(TIME)).alias(TIME)];
    aggregates.extend(measures.iter().map(measured));
    let found = numbered
        .filter(counts)?
        .aggregate(vec![column(ENTITY).alias(ENTITY), column(NUMBER).alias(NUMBER)], aggregates)?;
    let mut columns = vec![column(ENTITY), column(NUMBER), column(TIME).alias(CONVERSION_TIME)];
    columns.extend(conversions.columns.iter().map(|computed| computed.expression.clone().alias(&computed.name)));
    found.project(columns)?.alias(CONVERSION)
}

/// Base events with their conversions beside them. Everything of the base stands in one relation from here on.
pub(super) fn with_conversions(
    counted: Counted,
    table: &str,
    conversions: &Conversions,
    found: LogicalPlanBuilder,
) -> Result<Counted> {
    let mut used: BTreeSet<Column> = BTreeSet::new();
    let mut note = |expression: &Expr| -> Result<()> {
        expression.apply(|node| {
            if let Expr::Column(name) = node
                && !is_of_conversion(name)
            {
                used.insert(name.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(())
    };
    counted.keys.iter().try_for_each(|(_, key)| note(key))?;
    for measure in &counted.measures {
        measure.arguments.iter().chain(&measure.filter).try_for_each(&mut note)?;
    }
    note(&counted.time)?;
    let moved = |expression: Expr| -> Result<Expr> {
        let moved = expression.transform_down(|node| match &node {
            Expr::Column(name) if !is_of_conversion(name) => Ok(Transformed::yes(of(EVENTS, &moved_name(name, table)))),
            Expr::Column(name) => match conversions.columns.iter().find(|computed| computed.name == name.name) {
                Some(computed) => {
                    let nothing = of_nothing(&computed.expression, &conversions.measures)?;
                    let is_converted = of(CONVERSION, CONVERSION_TIME).is_not_null();
                    let value = when(is_converted, node).otherwise(nothing)?;
                    // Not looked into again: the column stands inside what takes its place.
                    Ok(Transformed::new(value, true, TreeNodeRecursion::Jump))
                }
                None => Ok(Transformed::no(node)),
            },
            _ => Ok(Transformed::no(node)),
        })?;
        Ok(moved.data)
    };

    let own = |name: &String| Expr::Column(Column::new(Some(TableReference::bare(table)), name));
    let mut order = vec![conversions.base_time.clone().sort(true, true)];
    order.extend(conversions.base_key.iter().map(|name| own(name).sort(true, true)));
    let number = row_number().partition_by(vec![conversions.base_entity.clone()]).order_by(order).build()?;
    let (numbered, added) = with_window(counted.plan, vec![number])?;
    let [number] = added.as_slice() else { return internal_err!("one window makes one column") };
    let mut columns: Vec<Expr> =
        used.iter().map(|name| Expr::Column(name.clone()).alias(moved_name(name, table))).collect();
    columns.push(conversions.base_entity.clone().alias(ENTITY));
    columns.push(cast(number.clone(), DataType::Int64).alias(NUMBER));
    let events = numbered.project(columns)?.alias(EVENTS)?;

    let same = vec![of(EVENTS, ENTITY).eq(of(CONVERSION, ENTITY)), of(EVENTS, NUMBER).eq(of(CONVERSION, NUMBER))];
    let plan = events.join_on(found.build()?, JoinType::Left, same)?;
    let keys = counted.keys.into_iter().map(|(name, key)| Ok((name, moved(key)?))).collect::<Result<Vec<_>>>()?;
    let measures = counted.measures.into_iter().map(|measure| {
        let arguments = measure.arguments.iter().cloned().map(&moved).collect::<Result<_>>()?;
        let filter = measure.filter.clone().map(&moved).transpose()?;
        Ok(Measure { arguments, filter, ..measure })
    });
    let measures = measures.collect::<Result<Vec<_>>>()?;
    Ok(Counted { plan, keys, measures, time: moved(counted.time)?, time_type: counted.time_type })
}

/// The relation of base events, once their conversions stand beside them.
const EVENTS: &str = "base_events";

/// Rows with window functions over them, and the columns that those became.
fn with_window(plan: LogicalPlanBuilder, windows: Vec<Expr>) -> Result<(LogicalPlanBuilder, Vec<Expr>)> {
    let before: Vec<Column> = plan.schema().columns();
    let plan = plan.window(windows)?;
    let added = plan.schema().columns().into_iter().filter(|name| !before.contains(name)).map(Expr::Column).collect();
    Ok((plan, added))
}

fn moved_name(name: &Column, table: &str) -> String {
    match &name.relation {
        Some(relation) if relation.table() != table => format!("{} {}", relation.table(), name.name),
        _ => name.name.clone(),
    }
}

fn is_of_conversion(name: &Column) -> bool {
    name.relation.as_ref().is_some_and(|relation| relation.table() == CONVERSION)
}
