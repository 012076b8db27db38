//! What must be known of the data before KPIs are compiled: the days that it covers, whether declared keys are keys, and
//! whether the rows of histories follow each other.
//!
//! A survey reads a few columns of each table, file by file where it can, so that files that were looked at before need no
//! second look. It decides nothing about values.

mod ascending;
mod coverage;
mod keys;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use chrono::{Days, NaiveDate};
use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::cast as cast_array;
use datafusion::arrow::datatypes::{DataType, Date32Type, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::functions_aggregate::expr_fn::{count, max, min};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::prelude::SessionContext;

use self::coverage::covered;
pub use self::coverage::{Covered, Events, FileDays};
pub use self::keys::{Partner, broken_keys, repeated_targets};
use crate::compile::{Extent, PERIOD_START, column, joined_rows};
use crate::error::{Error, Result};
use crate::execute::{collect, query_error};
use crate::model::{Aggregate, Goal, JoinPath, Kpi, Model, Origin, Query, Shape, Subject, Target, below};
use crate::time::{from_epoch_days, to_epoch_days};

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

/// As records have it: `2025-03-31, complete until 2025-03-30`.
impl fmt::Display for AsOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, complete until {}", self.day, self.complete_until)
    }
}

impl FromStr for AsOf {
    type Err = chrono::ParseError;

    fn from_str(text: &str) -> std::result::Result<AsOf, chrono::ParseError> {
        let (day, complete_until) = text.split_once(", complete until ").unwrap_or((text, text));
        Ok(AsOf { day: day.parse()?, complete_until: complete_until.parse()?, is_all_known: false })
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
    /// What the files cover, each by itself.
    pub files: FileDays,
}

/// The days that rows cover, and how many rows have no time.
type Found = (Option<Extent>, i64);

/// Looks at the tables of `kpis` and of those below them. A table that cannot be read takes its KPIs with it and no others.
/// Files of which `files` knows what they cover are not read.
pub async fn survey(
    context: &SessionContext,
    model: &Model,
    kpis: &BTreeSet<String>,
    as_of: AsOf,
    files: &FileDays,
) -> Survey {
    let mut survey = Survey::default();
    let mut known = Known { extents: Vec::new(), reaches: BTreeMap::new(), files, found: FileDays::default() };
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
    survey.files = known.found;
    survey
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
struct Known<'a> {
    extents: Vec<(Events, Result<Found>)>,
    reaches: BTreeMap<String, Result<Option<NaiveDate>>>,
    /// What earlier surveys have found of files, and what this one has.
    files: &'a FileDays,
    found: FileDays,
}

impl Known<'_> {
    async fn extent(&mut self, context: &SessionContext, model: &Model, events: &Events, as_of: AsOf) -> Result<Found> {
        let same = self.extents.iter().position(|(other, _)| other == events);
        let index = match same {
            Some(index) => index,
            None => {
                let found = match self.reach(context, model, &events.table, as_of).await {
                    Ok(reach) => {
                        let covered = covered(context, model, events, self.files, &mut self.found, as_of).await;
                        let lateness = lateness(model, &events.table, as_of);
                        covered.map(|covered| extent(&covered, reach, lateness, as_of))
                    }
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
        let Known { reaches, files, found, .. } = self;
        let reach = match reaches.entry(table.to_owned()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(reach(context, model, table, files, found, as_of).await),
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
        let known = known.map(|known| before(known.min(as_of.complete_until), lateness(model, table, as_of)));
        reach = reach.zip(known).map(|(one, other)| one.min(other));
    }
    let (last, complete_until) = match reach {
        Some(reach) => (last_day.min(as_of.day), reach),
        None => {
            let latest = query.tables.iter().map(|table| lateness(model, table, as_of)).max();
            let closed = last_start.pred_opt().unwrap_or(last_start);
            (last_day.min(as_of.day), before(closed, latest.unwrap_or(Days::new(0))))
        }
    };
    let complete_until = complete_until.min(as_of.complete_until);
    Ok(Some(Extent { first, last, complete_until, calendar_until: as_of.complete_until }))
}

/// The days from the first row's to the last one's, or to the day that the freshness column reaches.
fn extent(covered: &Covered, reach: Option<NaiveDate>, lateness: Days, as_of: AsOf) -> Found {
    let (Some(first), Some(last)) = (covered.first, covered.last) else { return (None, covered.without_time) };
    let last = covered.ended.map_or(last, |ended| ended.max(last));
    let last_known = reach.map_or(last, |reach| reach.max(last)).min(as_of.day);
    let complete_until = before(reach.unwrap_or(last).min(as_of.complete_until), lateness);
    let extent = Extent { first, last: last_known, complete_until, calendar_until: as_of.complete_until };
    (Some(extent), covered.without_time)
}

/// How late rows of a table may come, or of those that it is made of; where everything is known, none does.
fn lateness(model: &Model, table: &str, as_of: AsOf) -> Days {
    let tables = with_those_behind(model, [table.to_owned()]);
    let known = tables.iter().filter_map(|table| model.tables.get(table)).filter(|_| !as_of.is_all_known);
    known.map(|table| table.lateness).max().unwrap_or(Days::new(0))
}

fn before(day: NaiveDate, days: Days) -> NaiveDate {
    day.checked_sub_days(days).unwrap_or(NaiveDate::MIN)
}

/// How many rows of a KPI have no time.
async fn without_time_of(
    context: &SessionContext,
    model: &Model,
    aggregate: &Aggregate,
    events: &Events,
) -> Result<i64> {
    let plan = || -> datafusion::common::Result<LogicalPlan> {
        let is_counted = aggregate.condition.clone().unwrap_or_else(|| lit(true));
        joined_rows(model, &aggregate.table, &aggregate.joins, Some((&events.time, &events.time_type)), false)?
            .filter(is_counted.and(events.time.clone().is_null()))?
            .aggregate(Vec::<Expr>::new(), vec![count(lit(1_i64)).alias("rows")])?
            .build()
    };
    let rows = collect(context, plan().map_err(query_error)?).await?.1;
    Ok(rows.first().map_or(0, |rows| rows.column(0).as_primitive::<Int64Type>().value(0)))
}

/// The last day that the freshness column of a table reaches, up to the day looked at. Where everything is known, that day.
pub async fn freshness(context: &SessionContext, model: &Model, table: &str, as_of: AsOf) -> Result<Option<NaiveDate>> {
    reach(context, model, table, &FileDays::default(), &mut FileDays::default(), as_of).await
}

async fn reach(
    context: &SessionContext,
    model: &Model,
    table: &str,
    known: &FileDays,
    found: &mut FileDays,
    as_of: AsOf,
) -> Result<Option<NaiveDate>> {
    if as_of.is_all_known {
        return Ok(Some(as_of.day));
    }
    let Some(events) = model.tables.get(table).and_then(|table| Events::of_freshness(table)) else { return Ok(None) };
    Ok(covered(context, model, &events, known, found, as_of).await?.last)
}

fn date(rows: &[RecordBatch], index: usize) -> Result<Option<NaiveDate>> {
    let Some(rows) = rows.first() else { return Ok(None) };
    let days = cast_array(rows.column(index), &DataType::Date32).map_err(|error| query_error(error.into()))?;
    let days = days.as_primitive::<Date32Type>();
    Ok((!days.is_empty() && days.is_valid(0)).then(|| from_epoch_days(days.value(0))).flatten())
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
    let mut tables = tables_read(model, kpi);
    let inputs = kpi.inputs().into_iter().filter_map(|input| model.kpis.get(input));
    tables.extend(inputs.flat_map(|input| tables_of(model, input)));
    with_those_behind(model, tables)
}

/// The tables that a KPI itself reads, directly and through joins.
pub fn tables_read(model: &Model, kpi: &Kpi) -> BTreeSet<String> {
    let mut tables: BTreeSet<String> = match &kpi.shape {
        Shape::Aggregate(aggregate) => {
            let mut tables: BTreeSet<String> = partners(model, kpi).into_iter().map(|partner| partner.table).collect();
            tables.insert(aggregate.table.clone());
            if let Subject::Conversions(conversions) = &aggregate.subject {
                tables.insert(conversions.table.clone());
            }
            tables
        }
        Shape::Query(query) => query.tables.iter().cloned().collect(),
        Shape::Arithmetic(_) | Shape::Composite(_) => BTreeSet::new(),
    };
    if let Some(Target { goal: Goal::Table { table, .. }, .. }) = &kpi.target {
        tables.insert(table.table.clone());
    }
    tables
}

/// Tables with those that they are made of.
pub fn with_those_behind(model: &Model, tables: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut waiting: Vec<String> = tables.into_iter().collect();
    while let Some(name) = waiting.pop() {
        if let Some(table) = model.tables.get(&name)
            && found.insert(name)
            && let Origin::Query { tables } = &table.origin
        {
            waiting.extend(tables.iter().cloned());
        }
    }
    found
}
