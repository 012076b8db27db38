//! What must be known of the data before KPIs are compiled: the days that it covers, and whether declared keys are keys.
//!
//! A survey reads a few columns of each table. It decides nothing about values.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::cast as cast_array;
use datafusion::arrow::datatypes::{DataType, Date32Type, Int64Type};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::{Column, TableReference};
use datafusion::functions_aggregate::expr_fn::{count, max, min};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, lit};
use datafusion::prelude::SessionContext;

use crate::compile::{Bounds, Extent, column, day_of, joined_rows};
use crate::error::{Error, Result};
use crate::execute::{collect, query_error};
use crate::model::{Aggregate, Kpi, Model, Shape, below};
use crate::time::from_epoch_days;

/// The day up to which a run looks, and the last day that can be complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsOf {
    /// Rows of later days do not exist yet.
    pub day: NaiveDate,
    /// Periods that end behind this day are open. Today is never complete; a day that `--as-of` names is.
    pub complete_until: NaiveDate,
}

impl AsOf {
    /// The end of a named day.
    pub fn end_of(day: NaiveDate) -> Self {
        AsOf { day, complete_until: day }
    }

    /// Now, while `today` is still running.
    pub fn during(today: NaiveDate) -> Self {
        AsOf { day: today, complete_until: today.pred_opt().unwrap_or(today) }
    }
}

/// What a survey found.
#[derive(Debug, Default)]
pub struct Survey {
    /// The days that the data of each aggregate KPI covers. A KPI whose table has no rows is missing.
    pub extents: BTreeMap<String, Extent>,
    /// For each aggregate KPI, how many rows of its table have no time, where there are any.
    pub without_time: BTreeMap<String, i64>,
    /// The aggregate KPIs whose data could not be read.
    pub failed: BTreeMap<String, Error>,
}

/// The days that rows cover, and how many rows have no time.
type Found = (Option<Extent>, i64);

/// Looks at the tables of `kpis` and of those below them. A table that cannot be read takes its KPIs with it and no others.
pub async fn survey(context: &SessionContext, model: &Model, kpis: &BTreeSet<String>, as_of: AsOf) -> Survey {
    let mut survey = Survey::default();
    let mut known: Vec<(&Aggregate, Result<Found>)> = Vec::new();
    let mut reaches: BTreeMap<&str, Result<Option<NaiveDate>>> = BTreeMap::new();
    for kpi in below(model, kpis) {
        let Shape::Aggregate(aggregate) = &kpi.shape else { continue };
        let same = known.iter().position(|(other, _)| other.table == aggregate.table && other.time == aggregate.time);
        let index = match same {
            Some(index) => index,
            None => {
                let table = aggregate.table.as_str();
                let reach = match reaches.entry(table) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(unknown) => unknown.insert(freshness(context, model, table, as_of).await),
                };
                let found = match reach {
                    Ok(reach) => extent(context, model, aggregate, *reach, as_of).await,
                    Err(error) => Err(error.again()),
                };
                known.push((aggregate, found));
                known.len() - 1
            }
        };
        match &known[index].1 {
            Ok((extent, without_time)) => {
                survey.extents.extend(extent.map(|extent| (kpi.name.clone(), extent)));
                // Most filters leave such rows out anyway, so they are counted again as the KPI sees them.
                if *without_time > 0
                    && let Ok(rows @ 1..) = without_time_of(context, model, aggregate).await
                {
                    survey.without_time.insert(kpi.name.clone(), rows);
                }
            }
            Err(error) => {
                survey.failed.insert(kpi.name.clone(), error.again());
            }
        }
    }
    survey
}

/// The days from the first row's to the last one's, or to the day that the freshness column reaches.
async fn extent(
    context: &SessionContext,
    model: &Model,
    aggregate: &Aggregate,
    reach: Option<NaiveDate>,
    as_of: AsOf,
) -> Result<Found> {
    let calendar = &model.project.calendar;
    let (time, time_type) = (&aggregate.time, &aggregate.time_type);
    let bounds = Bounds { since: None, until: as_of.day }.condition(time, time_type, calendar);
    let plan = || -> datafusion::common::Result<LogicalPlan> {
        let known = |call: Expr| {
            // Only times within the bounds; a date of the year 9999 must not stretch the series.
            let Expr::AggregateFunction(mut call) = call else { return call };
            call.params.filter = Some(Box::new(bounds.clone()));
            Expr::AggregateFunction(call)
        };
        let plan = joined_rows(model, &aggregate.table, &aggregate.joins, false)?.aggregate(
            Vec::<Expr>::new(),
            vec![
                known(min(time.clone())).alias("first"),
                known(max(time.clone())).alias("last"),
                count(lit(1_i64)).alias("rows"),
                count(time.clone()).alias("with_time"),
            ],
        )?;
        let day = |name: &str| day_of(&column(name), time_type, calendar).alias(name);
        plan.project(vec![day("first"), day("last"), (column("rows") - column("with_time")).alias("without_time")])?
            .build()
    };
    let rows = collect(context, plan().map_err(query_error)?).await?.1;
    let (first, last) = (date(&rows, 0)?, date(&rows, 1)?);
    let without_time = rows.first().map_or(0, |rows| rows.column(2).as_primitive::<Int64Type>().value(0));
    let (Some(first), Some(last)) = (first, last) else { return Ok((None, without_time)) };
    let last_known = reach.map_or(last, |reach| reach.max(last)).min(as_of.day);
    let complete_until = reach.unwrap_or(last).min(as_of.complete_until);
    Ok((Some(Extent { first, last: last_known, complete_until, calendar_until: as_of.complete_until }), without_time))
}

/// How many rows of a KPI have no time.
async fn without_time_of(context: &SessionContext, model: &Model, aggregate: &Aggregate) -> Result<i64> {
    let plan = || -> datafusion::common::Result<LogicalPlan> {
        let is_counted = aggregate.condition.clone().unwrap_or_else(|| lit(true));
        joined_rows(model, &aggregate.table, &aggregate.joins, false)?
            .filter(is_counted.and(aggregate.time.clone().is_null()))?
            .aggregate(Vec::<Expr>::new(), vec![count(lit(1_i64)).alias("rows")])?
            .build()
    };
    let rows = collect(context, plan().map_err(query_error)?).await?.1;
    Ok(rows.first().map_or(0, |rows| rows.column(0).as_primitive::<Int64Type>().value(0)))
}

/// The last day that the freshness column of a table reaches, up to the day looked at.
async fn freshness(context: &SessionContext, model: &Model, table: &str, as_of: AsOf) -> Result<Option<NaiveDate>> {
    let Some(name) = model.tables.get(table).and_then(|table| table.freshness.as_ref()) else { return Ok(None) };
    let calendar = &model.project.calendar;
    let plan = || -> datafusion::common::Result<LogicalPlan> {
        let rows = joined_rows(model, table, &BTreeSet::new(), false)?;
        let time = Expr::Column(Column::new(Some(TableReference::bare(table)), name));
        let time_type = time.get_type(rows.schema())?;
        let bounds = Bounds { since: None, until: as_of.day }.condition(&time, &time_type, calendar);
        let plan = rows.filter(bounds)?.aggregate(Vec::<Expr>::new(), vec![max(time).alias("last")])?;
        plan.project(vec![day_of(&column("last"), &time_type, calendar).alias("last")])?.build()
    };
    let rows = collect(context, plan().map_err(query_error)?).await?.1;
    date(&rows, 0)
}

fn date(rows: &[RecordBatch], index: usize) -> Result<Option<NaiveDate>> {
    let Some(rows) = rows.first() else { return Ok(None) };
    let days = cast_array(rows.column(index), &DataType::Date32).map_err(|error| query_error(error.into()))?;
    let days = days.as_primitive::<Date32Type>();
    Ok((!days.is_empty() && days.is_valid(0)).then(|| from_epoch_days(days.value(0))).flatten())
}

/// The tables that the joins of `kpis` reach whose declared key is no key in the data, each with an example; also those
/// whose key could not be read.
///
/// A join to such a table would count rows twice, so whatever joins to it must not be published.
pub async fn broken_keys(context: &SessionContext, model: &Model, kpis: &BTreeSet<String>) -> BTreeMap<String, Error> {
    let reached: BTreeSet<String> = below(model, kpis).into_iter().flat_map(|kpi| joined_tables(model, kpi)).collect();
    let mut broken = BTreeMap::new();
    for name in reached {
        match repeated_key(context, model, &name).await {
            Ok(None) => {}
            Ok(Some(reason)) => {
                let error = Error::execution(format!("a join would count rows twice: {reason}"))
                    .with_hint("mend the data, or make one row of each key in a derived table and join to that");
                broken.insert(name, error);
            }
            Err(error) => {
                broken.insert(name, error);
            }
        }
    }
    broken
}

/// A key that several rows of a table have, in words.
async fn repeated_key(context: &SessionContext, model: &Model, name: &str) -> Result<Option<String>> {
    let table = model.tables.get(name).ok_or_else(|| Error::internal(format!("no table `{name}`")))?;
    let keys: Vec<Expr> =
        table.primary_key.iter().map(|key| Expr::Column(Column::new(Some(TableReference::bare(name)), key))).collect();
    let has_key = keys.iter().cloned().map(Expr::is_not_null).reduce(Expr::and).unwrap_or_else(|| lit(true));
    let plan = || -> datafusion::common::Result<LogicalPlan> {
        joined_rows(model, name, &BTreeSet::new(), false)?
            .filter(has_key)?
            .aggregate(keys.clone(), vec![count(lit(1_i64)).alias("rows")])?
            .filter(column("rows").gt(lit(1_i64)))?
            .sort(vec![column("rows").sort(false, false)])?
            .limit(0, Some(1))?
            .build()
    };
    let rows = collect(context, plan().map_err(query_error)?).await?.1;
    let Some(rows) = rows.iter().find(|rows| rows.num_rows() > 0) else { return Ok(None) };
    let texts: Vec<String> = (rows.columns().iter())
        .filter_map(|column| {
            let formatter = ArrayFormatter::try_new(column.as_ref(), &FormatOptions::default()).ok()?;
            Some(formatter.value(0).to_string())
        })
        .collect();
    let example: Vec<String> =
        table.primary_key.iter().zip(&texts).map(|(key, value)| format!("{key} = {value}")).collect();
    let times = texts.last().cloned().unwrap_or_default();
    Ok(Some(format!(
        "`{name}` has {times} rows with {}, but `{}` is its primary key",
        example.join(" and "),
        table.primary_key.join(", ")
    )))
}

/// The tables that a KPI joins to.
pub fn joined_tables(model: &Model, kpi: &Kpi) -> BTreeSet<String> {
    let Shape::Aggregate(aggregate) = &kpi.shape else { return BTreeSet::new() };
    let paths = aggregate.joins.iter().chain(aggregate.dimensions.values().flat_map(|dimension| &dimension.joins));
    let target = |path: &Vec<String>| {
        path.iter().try_fold(aggregate.table.clone(), |table, join| {
            Some(model.tables.get(&table)?.joins.get(join)?.table.clone())
        })
    };
    paths.filter_map(target).collect()
}

/// Every table that a KPI reads, directly, through joins, through derived tables and through its inputs.
pub fn tables_of(model: &Model, kpi: &Kpi) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut waiting: Vec<String> = match &kpi.shape {
        Shape::Aggregate(aggregate) => joined_tables(model, kpi).into_iter().chain([aggregate.table.clone()]).collect(),
        Shape::Arithmetic(_) => {
            let inputs = kpi.inputs().into_iter().filter_map(|input| model.kpis.get(input));
            inputs.flat_map(|input| tables_of(model, input)).collect()
        }
    };
    while let Some(name) = waiting.pop() {
        if let Some(table) = model.tables.get(&name)
            && found.insert(name)
            && let crate::model::Origin::Query { tables } = &table.origin
        {
            waiting.extend(tables.iter().cloned());
        }
    }
    found
}
