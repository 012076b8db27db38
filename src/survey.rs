//! What must be known of the data before KPIs are compiled: the days that it covers, whether declared keys are keys, and
//! whether the rows of histories follow each other.
//!
//! A survey reads a few columns of each table. It decides nothing about values.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast as cast_array;
use datafusion::arrow::datatypes::{DataType, Date32Type, Int64Type};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::{Column, ScalarValue, TableReference};
use datafusion::functions_aggregate::expr_fn::{count, max, min};
use datafusion::functions_window::expr_fn::lag;
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::{Expr, ExprFunctionExt, ExprSchemable, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::prelude::SessionContext;

use crate::compile::{Bounds, Extent, PERIOD_START, column, day_of, joined_rows, period_of};
use crate::error::{Error, Result};
use crate::execute::{collect, query_error};
use crate::model::{
    Aggregate, Conversions, Goal, JoinPath, Kpi, Model, Placement, Query, Shape, Subject, Target, TargetTable,
    Validity, below,
};
use crate::time::{Grain, from_epoch_days, to_epoch_days};

/// The day up to which a run looks, and the last day that can be complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsOf {
    /// Rows of later days do not exist yet.
    pub day: NaiveDate,
    /// Periods that end behind this day are open. Today is never complete; a day that `--as-of` names is.
    pub complete_until: NaiveDate,
    /// Whether everything up to the day is known, whatever the rows say; so in tests on given rows.
    pub is_all_known: bool,
}

impl AsOf {
    /// The end of a named day.
    pub fn end_of(day: NaiveDate) -> Self {
        AsOf { day, complete_until: day, is_all_known: false }
    }

    /// The end of a day up to which rows that are given are all that there are.
    pub fn end_of_given(day: NaiveDate) -> Self {
        AsOf { is_all_known: true, ..AsOf::end_of(day) }
    }

    /// Now, while `today` is still running.
    pub fn during(today: NaiveDate) -> Self {
        AsOf { day: today, complete_until: today.pred_opt().unwrap_or(today), is_all_known: false }
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
    let mut known = Known::default();
    for kpi in below(model, kpis) {
        let aggregate = match &kpi.shape {
            Shape::Aggregate(aggregate) => aggregate,
            Shape::Query(query) => {
                match extent_of_query(context, model, query, &mut known, as_of).await {
                    Ok(extent) => survey.extents.extend(extent.map(|extent| (kpi.name.clone(), extent))),
                    Err(error) => drop(survey.failed.insert(kpi.name.clone(), error)),
                }
                continue;
            }
            Shape::Arithmetic(_) | Shape::Composite(_) => continue,
        };
        let events = Events::of(aggregate);
        let found = known.extent(context, model, &events, as_of).await;
        let found = match (found, Events::that_follow(aggregate)) {
            (Ok((Some(extent), without_time)), Some(after)) => {
                let after_them = known.extent(context, model, &after, as_of).await;
                after_them.map(|(after_them, _)| (Some(followed(aggregate, extent, after_them)), without_time))
            }
            (found, _) => found,
        };
        match found {
            Ok((extent, without_time)) => {
                survey.extents.extend(extent.map(|extent| (kpi.name.clone(), extent)));
                // Most filters leave such rows out anyway, so they are counted again as the KPI sees them.
                if without_time > 0
                    && let Ok(rows @ 1..) = without_time_of(context, model, aggregate, &events).await
                {
                    survey.without_time.insert(kpi.name.clone(), rows);
                }
            }
            Err(error) => {
                survey.failed.insert(kpi.name.clone(), error);
            }
        }
    }
    survey
}

/// Rows of a table with the time that tells which days they cover.
#[derive(Debug, Clone, PartialEq)]
struct Events<'a> {
    table: &'a str,
    joins: &'a BTreeSet<JoinPath>,
    time: &'a Expr,
    time_type: &'a DataType,
    /// When they end; of a level both ends are something that happened.
    to: Option<&'a (Expr, DataType)>,
}

impl<'a> Events<'a> {
    fn of(aggregate: &'a Aggregate) -> Events<'a> {
        let Aggregate { table, joins, .. } = aggregate;
        let (time, time_type) = match &aggregate.subject {
            Subject::Conversions(conversions) => (&conversions.base_time, &conversions.base_time_type),
            Subject::Rows | Subject::Entities(_) | Subject::Funnel(_) | Subject::Cohorts(_) => {
                (&aggregate.time, &aggregate.time_type)
            }
        };
        let to = match &aggregate.placement {
            Placement::Stock(stock) | Placement::Boundaries(stock) => stock.to.as_ref(),
            Placement::Event | Placement::Window(_) => None,
        };
        Events { table, joins, time, time_type, to }
    }

    /// The conversions behind base events.
    fn that_follow(aggregate: &'a Aggregate) -> Option<Events<'a>> {
        let Subject::Conversions(conversions) = &aggregate.subject else { return None };
        let Conversions { table, joins, time, time_type, .. } = conversions.as_ref();
        Some(Events { table, joins, time, time_type, to: None })
    }
}

/// The days of base events whose conversions cover these days: known as far as both are.
fn followed(aggregate: &Aggregate, base: Extent, after: Option<Extent>) -> Extent {
    let Some(after) = after else { return base };
    let counts_conversions =
        matches!(&aggregate.subject, Subject::Conversions(conversions) if conversions.base_time != aggregate.time);
    Extent {
        last: if counts_conversions { after.last } else { base.last },
        complete_until: base.complete_until.min(after.complete_until),
        ..base
    }
}

/// What was found already, so that KPIs over the same rows share a look.
#[derive(Default)]
struct Known<'a> {
    extents: Vec<(Events<'a>, Result<Found>)>,
    reaches: BTreeMap<String, Result<Option<NaiveDate>>>,
}

impl<'a> Known<'a> {
    async fn extent(
        &mut self,
        context: &SessionContext,
        model: &Model,
        events: &Events<'a>,
        as_of: AsOf,
    ) -> Result<Found> {
        let same = self.extents.iter().position(|(other, _)| other == events);
        let index = match same {
            Some(index) => index,
            None => {
                let found = match self.reach(context, model, events.table, as_of).await {
                    Ok(reach) => extent(context, model, events, reach, as_of).await,
                    Err(error) => Err(error),
                };
                self.extents.push((events.clone(), found));
                self.extents.len() - 1
            }
        };
        match &self.extents[index].1 {
            Ok(found) => Ok(*found),
            Err(error) => Err(error.again()),
        }
    }

    async fn reach(
        &mut self,
        context: &SessionContext,
        model: &Model,
        table: &str,
        as_of: AsOf,
    ) -> Result<Option<NaiveDate>> {
        let reach = match self.reaches.entry(table.to_owned()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(freshness(context, model, table, as_of).await),
        };
        match reach {
            Ok(reach) => Ok(*reach),
            Err(error) => Err(error.again()),
        }
    }
}

/// The days that the answer of a query covers. It is known up to the least of its tables' `freshness`; where a table has
/// none, the last period of the answer counts as open.
async fn extent_of_query(
    context: &SessionContext,
    model: &Model,
    query: &Query,
    known: &mut Known<'_>,
    as_of: AsOf,
) -> Result<Option<Extent>> {
    let calendar = &model.project.calendar;
    let (mut first, mut last) = (None, None);
    let mut seen = BTreeSet::new();
    for ((grain, _), plans) in &query.plans {
        // A query can leave a grain without rows, as quotas that are set for quarters do, so each is looked at.
        if !seen.insert(*grain) {
            continue;
        }
        let plan = || -> datafusion::common::Result<LogicalPlan> {
            let until = lit(ScalarValue::Date32(Some(to_epoch_days(as_of.day))));
            LogicalPlanBuilder::from(plans.rows.as_ref().clone())
                .alias("answer")?
                .filter(column(PERIOD_START).lt_eq(until))?
                .aggregate(
                    Vec::<Expr>::new(),
                    vec![min(column(PERIOD_START)).alias("first"), max(column(PERIOD_START)).alias("last")],
                )?
                .build()
        };
        let rows = collect(context, plan().map_err(query_error)?).await?.1;
        let (Some(first_start), Some(last_start)) = (date(&rows, 0)?, date(&rows, 1)?) else { continue };
        let last_day = calendar.period_end(last_start, *grain).and_then(|end| end.pred_opt()).unwrap_or(last_start);
        first = Some(first.map_or(first_start, |first: NaiveDate| first.min(first_start)));
        last = last.max(Some((last_start, last_day)));
    }
    let (Some(first), Some((last_start, last_day))) = (first, last) else { return Ok(None) };
    let mut reach = Some(as_of.day);
    for table in &query.tables {
        let known = known.reach(context, model, table, as_of).await?;
        reach = reach.zip(known).map(|(one, other)| one.min(other));
    }
    let (last, complete_until) = match reach {
        Some(reach) => (last_day.min(as_of.day), reach),
        None => (last_day.min(as_of.day), last_start.pred_opt().unwrap_or(last_start)),
    };
    let complete_until = complete_until.min(as_of.complete_until);
    Ok(Some(Extent { first, last, complete_until, calendar_until: as_of.complete_until }))
}

/// The days from the first row's to the last one's, or to the day that the freshness column reaches.
async fn extent(
    context: &SessionContext,
    model: &Model,
    events: &Events<'_>,
    reach: Option<NaiveDate>,
    as_of: AsOf,
) -> Result<Found> {
    let calendar = &model.project.calendar;
    let Events { time, time_type, .. } = *events;
    let bounds = Bounds { since: None, until: as_of.day }.condition(time, time_type, calendar);
    let (to, to_type) = match events.to {
        Some((to, to_type)) => (to, to_type),
        None => (time, time_type),
    };
    let to_bounds = Bounds { since: None, until: as_of.day }.condition(to, to_type, calendar);
    let plan = || -> datafusion::common::Result<LogicalPlan> {
        let known = |call: Expr, bounds: &Expr| {
            // Only times within the bounds; a date of the year 9999 must not stretch the series.
            let Expr::AggregateFunction(mut call) = call else { return call };
            call.params.filter = Some(Box::new(bounds.clone()));
            Expr::AggregateFunction(call)
        };
        let plan = joined_rows(model, events.table, events.joins, Some((events.time, events.time_type)), false)?
            .aggregate(
                Vec::<Expr>::new(),
                vec![
                    known(min(time.clone()), &bounds).alias("first"),
                    known(max(time.clone()), &bounds).alias("last"),
                    known(max(to.clone()), &to_bounds).alias("ended"),
                    count(lit(1_i64)).alias("rows"),
                    count(time.clone()).alias("with_time"),
                ],
            )?;
        let day = |name: &str, data_type: &DataType| day_of(&column(name), data_type, calendar).alias(name);
        let without_time = (column("rows") - column("with_time")).alias("without_time");
        plan.project(vec![day("first", time_type), day("last", time_type), day("ended", to_type), without_time])?
            .build()
    };
    let rows = collect(context, plan().map_err(query_error)?).await?.1;
    let (first, last, ended) = (date(&rows, 0)?, date(&rows, 1)?, date(&rows, 2)?);
    let without_time = rows.first().map_or(0, |rows| rows.column(3).as_primitive::<Int64Type>().value(0));
    let (Some(first), Some(last)) = (first, last) else { return Ok((None, without_time)) };
    let last = ended.map_or(last, |ended| ended.max(last));
    let last_known = reach.map_or(last, |reach| reach.max(last)).min(as_of.day);
    let complete_until = reach.unwrap_or(last).min(as_of.complete_until);
    Ok((Some(Extent { first, last: last_known, complete_until, calendar_until: as_of.complete_until }), without_time))
}

/// How many rows of a KPI have no time.
async fn without_time_of(
    context: &SessionContext,
    model: &Model,
    aggregate: &Aggregate,
    events: &Events<'_>,
) -> Result<i64> {
    let plan = || -> datafusion::common::Result<LogicalPlan> {
        let is_counted = aggregate.condition.clone().unwrap_or_else(|| lit(true));
        joined_rows(model, &aggregate.table, &aggregate.joins, Some((events.time, events.time_type)), false)?
            .filter(is_counted.and(events.time.clone().is_null()))?
            .aggregate(Vec::<Expr>::new(), vec![count(lit(1_i64)).alias("rows")])?
            .build()
    };
    let rows = collect(context, plan().map_err(query_error)?).await?.1;
    Ok(rows.first().map_or(0, |rows| rows.column(0).as_primitive::<Int64Type>().value(0)))
}

/// The last day that the freshness column of a table reaches, up to the day looked at. Where everything is known, that day.
pub async fn freshness(context: &SessionContext, model: &Model, table: &str, as_of: AsOf) -> Result<Option<NaiveDate>> {
    if as_of.is_all_known {
        return Ok(Some(as_of.day));
    }
    let Some(name) = model.tables.get(table).and_then(|table| table.freshness.as_ref()) else { return Ok(None) };
    let calendar = &model.project.calendar;
    let plan = || -> datafusion::common::Result<LogicalPlan> {
        let rows = joined_rows(model, table, &BTreeSet::new(), None, false)?;
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

/// What a join finds its rows by: the primary key of a table, or the keys and the validity of a history.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Partner {
    pub table: String,
    pub history: Option<(Vec<String>, Validity)>,
}

/// Where the joins of `kpis` lead whose declared key is no key in the data, or whose history overlaps, each with an example;
/// also those that could not be read.
///
/// Such a join would count rows twice, so whatever joins there must not be published.
pub async fn broken_keys(context: &SessionContext, model: &Model, kpis: &BTreeSet<String>) -> BTreeMap<Partner, Error> {
    let reached: BTreeSet<Partner> = below(model, kpis).into_iter().flat_map(|kpi| partners(model, kpi)).collect();
    let mut broken = BTreeMap::new();
    for partner in reached {
        let (found, hint) = match &partner.history {
            None => (
                repeated_key(context, model, &partner.table).await,
                "mend the data, or make one row of each key in a derived table and join to that".to_owned(),
            ),
            Some((keys, validity)) => (
                overlap(context, model, &partner.table, keys, validity).await,
                format!(
                    "mend the data: a row ends (`{}`) where the next one begins (`{}`)",
                    validity.to, validity.from
                ),
            ),
        };
        match found {
            Ok(None) => {}
            Ok(Some(reason)) => {
                let error = Error::execution(format!("a join would count rows twice: {reason}")).with_hint(hint);
                broken.insert(partner, error);
            }
            Err(error) => {
                broken.insert(partner, error);
            }
        }
    }
    broken
}

/// Two rows of a history that are valid at the same time, in words. Of several overlaps one lies between rows that follow
/// each other.
async fn overlap(
    context: &SessionContext,
    model: &Model,
    name: &str,
    keys: &[String],
    validity: &Validity,
) -> Result<Option<String>> {
    let of = |name: &str, column: &str| Expr::Column(Column::new(Some(TableReference::bare(name)), column));
    let keys_of: Vec<Expr> = keys.iter().map(|key| of(name, key)).collect();
    let (from, to) = (of(name, &validity.from), of(name, &validity.to));
    let order: Vec<Sort> = [&from, &to].map(|column| column.clone().sort(true, false)).to_vec();
    let plan = || -> datafusion::common::Result<LogicalPlan> {
        let has_key = keys_of.iter().cloned().map(Expr::is_not_null).reduce(Expr::and).unwrap_or_else(|| lit(true));
        let is_ever_valid = from.clone().lt(to.clone()).or(to.clone().is_null()).and(from.clone().is_not_null());
        let before = |column: &Expr| {
            lag(column.clone(), Some(1), None).partition_by(keys_of.clone()).order_by(order.clone()).build()
        };
        let windows = vec![before(&from)?.alias("#from"), before(&to)?.alias("#to")];
        let both = [validity.from.as_str(), validity.to.as_str()].map(|column| of(name, column));
        let columns = keys_of.iter().cloned().chain([column("#from"), column("#to")]).chain(both);
        joined_rows(model, name, &BTreeSet::new(), None, false)?
            .filter(has_key.and(is_ever_valid))?
            .window(windows)?
            .filter(column("#from").is_not_null().and(column("#to").is_null().or(column("#to").gt(from.clone()))))?
            .sort(keys_of.iter().cloned().map(|key| key.sort(true, false)).chain(order.clone()))?
            .limit(0, Some(1))?
            .project(columns)?
            .build()
    };
    let rows = collect(context, plan().map_err(query_error)?).await?.1;
    let Some(rows) = rows.iter().find(|rows| rows.num_rows() > 0) else { return Ok(None) };
    let texts = first_row(rows);
    let (of_keys, times) = texts.split_at(keys.len().min(texts.len()));
    let during = |from: &str, to: &str| match to {
        "" => format!("from {from} on"),
        to => format!("from {from} to {to}"),
    };
    let both: Vec<String> = times.chunks_exact(2).map(|times| during(&times[0], &times[1])).collect();
    let example: Vec<String> = keys.iter().zip(of_keys).map(|(key, value)| format!("{key} = {value}")).collect();
    Ok(Some(format!("`{name}` has rows with {} that overlap, {}", example.join(" and "), both.join(" and "))))
}

/// The first row as texts; NULL is empty.
fn first_row(rows: &RecordBatch) -> Vec<String> {
    let text = |column: &ArrayRef| {
        let formatter = ArrayFormatter::try_new(column.as_ref(), &FormatOptions::default()).ok()?;
        Some(formatter.value(0).to_string())
    };
    rows.columns().iter().filter_map(text).collect()
}

/// The KPIs whose table of targets has several rows for one period and member, each with an example; also those whose
/// targets could not be read. One of them would be the target, and nobody could say which.
pub async fn repeated_targets(
    context: &SessionContext,
    model: &Model,
    kpis: &BTreeSet<String>,
) -> BTreeMap<String, Error> {
    let mut broken = BTreeMap::new();
    for kpi in below(model, kpis) {
        let Some(Target { goal: Goal::Table { table, .. }, .. }) = &kpi.target else { continue };
        let grain = kpi.grains.first().copied().unwrap_or(Grain::Month);
        let error = match repeated_target(context, model, table, grain).await {
            Ok(None) => continue,
            Ok(Some(day)) => Error::execution(format!(
                "`{}` has several targets of `{}` for one period and member, such as the period from {day}",
                table.table, kpi.name
            ))
            .with_hint("leave one row for each period and member"),
            Err(error) => error,
        };
        broken.insert(kpi.name.clone(), error);
    }
    broken
}

/// The first period that has several targets for a member.
async fn repeated_target(
    context: &SessionContext,
    model: &Model,
    table: &TargetTable,
    first_grain: Grain,
) -> Result<Option<NaiveDate>> {
    let calendar = &model.project.calendar;
    let own = |name: &str| Expr::Column(Column::new(Some(TableReference::bare(table.table.as_str())), name));
    let grains: Vec<Grain> = if table.has_grain { Grain::ALL.to_vec() } else { vec![first_grain] };
    for grain in grains {
        let plan = || -> datafusion::common::Result<LogicalPlan> {
            let is_asked = if table.has_grain { own("grain").eq(lit(grain.name())) } else { lit(true) };
            let period = period_of(day_of(&table.time, &table.time_type, calendar), grain, calendar);
            let mut groups = vec![period.alias(PERIOD_START)];
            groups.extend(table.dimensions.iter().map(|name| own(name)));
            joined_rows(model, &table.table, &BTreeSet::new(), None, false)?
                .filter(table.time.clone().is_not_null().and(is_asked))?
                .aggregate(groups, vec![count(lit(1_i64)).alias("rows")])?
                .filter(column("rows").gt(lit(1_i64)))?
                .aggregate(Vec::<Expr>::new(), vec![min(column(PERIOD_START)).alias("first")])?
                .build()
        };
        let rows = collect(context, plan().map_err(query_error)?).await?.1;
        if let Some(day) = date(&rows, 0)? {
            return Ok(Some(day));
        }
    }
    Ok(None)
}

/// A key that several rows of a table have, in words.
async fn repeated_key(context: &SessionContext, model: &Model, name: &str) -> Result<Option<String>> {
    let table = model.tables.get(name).ok_or_else(|| Error::internal(format!("no table `{name}`")))?;
    let keys: Vec<Expr> =
        table.primary_key.iter().map(|key| Expr::Column(Column::new(Some(TableReference::bare(name)), key))).collect();
    let has_key = keys.iter().cloned().map(Expr::is_not_null).reduce(Expr::and).unwrap_or_else(|| lit(true));
    let plan = || -> datafusion::common::Result<LogicalPlan> {
        joined_rows(model, name, &BTreeSet::new(), None, false)?
            .filter(has_key)?
            .aggregate(keys.clone(), vec![count(lit(1_i64)).alias("rows")])?
            .filter(column("rows").gt(lit(1_i64)))?
            .sort(vec![column("rows").sort(false, false)])?
            .limit(0, Some(1))?
            .build()
    };
    let rows = collect(context, plan().map_err(query_error)?).await?.1;
    let Some(rows) = rows.iter().find(|rows| rows.num_rows() > 0) else { return Ok(None) };
    let texts = first_row(rows);
    let example: Vec<String> =
        table.primary_key.iter().zip(&texts).map(|(key, value)| format!("{key} = {value}")).collect();
    let times = texts.last().cloned().unwrap_or_default();
    Ok(Some(format!(
        "`{name}` has {times} rows with {}, but `{}` is its primary key",
        example.join(" and "),
        table.primary_key.join(", ")
    )))
}

/// Where the joins of a KPI lead.
pub fn partners(model: &Model, kpi: &Kpi) -> BTreeSet<Partner> {
    let Some(aggregate) = kpi.aggregate() else { return BTreeSet::new() };
    let partner = |table: &str, path: &JoinPath| {
        let (last, before) = path.split_last()?;
        let table = before
            .iter()
            .try_fold(table.to_owned(), |table, join| Some(model.tables.get(&table)?.joins.get(join)?.table.clone()))?;
        let join = model.tables.get(&table)?.joins.get(last)?;
        let keys = join.on.iter().map(|(_, there)| there.clone()).collect();
        Some(Partner { table: join.table.clone(), history: join.valid.clone().map(|validity| (keys, validity)) })
    };
    let own = aggregate.joins.iter().chain(aggregate.dimensions.values().flat_map(|dimension| &dimension.joins));
    let mut found: BTreeSet<Partner> = own.filter_map(|path| partner(&aggregate.table, path)).collect();
    if let Subject::Conversions(conversions) = &aggregate.subject {
        found.extend(conversions.joins.iter().filter_map(|path| partner(&conversions.table, path)));
    }
    found
}

/// Every table that a KPI reads, directly, through joins, through derived tables and through its inputs.
pub fn tables_of(model: &Model, kpi: &Kpi) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut waiting: Vec<String> = match &kpi.shape {
        Shape::Aggregate(aggregate) => {
            let mut tables: BTreeSet<String> = partners(model, kpi).into_iter().map(|partner| partner.table).collect();
            tables.insert(aggregate.table.clone());
            if let Subject::Conversions(conversions) = &aggregate.subject {
                tables.insert(conversions.table.clone());
            }
            tables.into_iter().collect()
        }
        Shape::Query(query) => query.tables.iter().cloned().collect(),
        Shape::Arithmetic(_) | Shape::Composite(_) => Vec::new(),
    };
    let inputs = kpi.inputs().into_iter().filter_map(|input| model.kpis.get(input));
    waiting.extend(inputs.flat_map(|input| tables_of(model, input)));
    if let Some(Target { goal: Goal::Table { table, .. }, .. }) = &kpi.target {
        waiting.push(table.table.clone());
    }
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
