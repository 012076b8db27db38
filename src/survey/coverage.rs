//! Which days the rows of a table cover, found file by file: what a file covers stays true as long as the file is the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::NaiveDate;
use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, TableReference};
use datafusion::functions_aggregate::expr_fn::{count, max, min};
use datafusion::logical_expr::{Expr, LogicalPlan, lit};
use datafusion::physical_plan::{self, ExecutionPlan};
use datafusion::prelude::SessionContext;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::{AsOf, date};
use crate::catalog::{InputFile, over_file};
use crate::compile::{Bounds, column, day_of, days_are_in_order, joined_rows};
use crate::days::{DayRanges, maybe_text};
use crate::error::Result;
use crate::execute::{collect, query_error};
use crate::location::Location;
use crate::model::{Aggregate, Conversions, JoinPath, Model, Origin, Placement, Subject, Table};
use crate::session;

/// Rows of a table with the time that tells which days they cover.
#[derive(Debug, Clone, PartialEq)]
pub struct Events {
    pub table: String,
    joins: BTreeSet<JoinPath>,
    pub(super) time: Expr,
    pub(super) time_type: DataType,
    /// When they end; of a level both ends are something that happened.
    to: Option<(Expr, DataType)>,
}

impl Events {
    /// The rows that a KPI counts, or the base events of conversions.
    pub fn of(aggregate: &Aggregate) -> Events {
        let (time, time_type) = match &aggregate.subject {
            Subject::Conversions(conversions) => (&conversions.base_time, &conversions.base_time_type),
            Subject::Rows | Subject::Entities(_) | Subject::Funnel(_) | Subject::Cohorts(_) => {
                (&aggregate.time, &aggregate.time_type)
            }
        };
        let to = match &aggregate.placement {
            Placement::Stock(stock) | Placement::Boundaries(stock) => stock.to.clone(),
            Placement::Event | Placement::Window(_) => None,
        };
        let (time, time_type) = (time.clone(), time_type.clone());
        Events { table: aggregate.table.clone(), joins: aggregate.joins.clone(), time, time_type, to }
    }

    /// The conversions behind base events.
    pub fn that_follow(aggregate: &Aggregate) -> Option<Events> {
        let Subject::Conversions(conversions) = &aggregate.subject else { return None };
        let Conversions { table, joins, time, time_type, .. } = conversions.as_ref();
        let (table, joins) = (table.clone(), joins.clone());
        Some(Events { table, joins, time: time.clone(), time_type: time_type.clone(), to: None })
    }

    /// All rows that a KPI looks at.
    pub fn all_of(aggregate: &Aggregate) -> impl Iterator<Item = Events> + use<> {
        [Events::of(aggregate)].into_iter().chain(Events::that_follow(aggregate))
    }

    /// The rows of a table, by the column that says how far it reaches.
    pub(super) fn of_freshness(table: &Table) -> Option<Events> {
        let name = table.freshness.as_ref()?;
        let time_type = table.schema.field_with_name(name).ok()?.data_type().clone();
        let time = Expr::Column(Column::new(Some(TableReference::bare(table.name.as_str())), name));
        Some(Events { table: table.name.clone(), joins: Default::default(), time, time_type, to: None })
    }

    /// A name for them: the same as long as a file gives them the same days.
    pub fn key(&self, model: &Model) -> Option<String> {
        let table = model.tables.get(&self.table).filter(|_| self.is_own())?;
        let calendar = &model.project.calendar;
        // The number is raised when a version of kpi finds other days.
        let words = format!("days 1 {} {} {:?} {calendar:?}", table.fingerprint, self.time, self.to);
        Some(blake3::hash(words.as_bytes()).to_hex()[..16].to_owned())
    }

    /// Whether the rows of the table itself tell everything, without those behind its joins.
    fn is_own(&self) -> bool {
        let own = TableReference::bare(self.table.as_str());
        let times = [&self.time].into_iter().chain(self.to.as_ref().map(|(to, _)| to));
        times.into_iter().all(|time| {
            let is_another = |node: &Expr| match node {
                Expr::Column(column) => Ok(column.relation.as_ref().is_some_and(|relation| *relation != own)),
                _ => Ok(false),
            };
            time.exists(is_another).is_ok_and(|is_another| !is_another)
        })
    }
}

/// What some rows cover, up to the day that was looked from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covered {
    /// The first and the last day of their times.
    #[serde(with = "maybe_text", default, skip_serializing_if = "Option::is_none")]
    pub first: Option<NaiveDate>,
    #[serde(with = "maybe_text", default, skip_serializing_if = "Option::is_none")]
    pub last: Option<NaiveDate>,
    /// The last day on which one of them ends, of rows that end.
    #[serde(with = "maybe_text", default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<NaiveDate>,
    pub without_time: i64,
    /// Whether there are times behind the day that was looked from.
    pub has_later: bool,
}

impl Covered {
    fn together(self, other: Covered) -> Covered {
        let min = |one: Option<NaiveDate>, other: Option<NaiveDate>| one.into_iter().chain(other).min();
        Covered {
            first: min(self.first, other.first),
            last: self.last.max(other.last),
            ended: self.ended.max(other.ended),
            without_time: self.without_time + other.without_time,
            has_later: self.has_later || other.has_later,
        }
    }

    /// The days of their times.
    pub fn days(&self) -> DayRanges {
        self.first.zip(self.last).map_or_else(DayRanges::none, |(first, last)| DayRanges::of(first, last))
    }

    /// Whether they cover the same seen from another day.
    fn holds_from(&self, as_of: AsOf) -> bool {
        !self.has_later && self.last.max(self.ended).is_none_or(|last| last <= as_of.day)
    }
}

/// What files cover, by the key of [`Events`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileDays(BTreeMap<String, BTreeMap<Location, (InputFile, Covered)>>);

impl FileDays {
    pub fn insert(&mut self, key: &str, file: InputFile, covered: Covered) {
        self.0.entry(key.to_owned()).or_default().insert(file.location.clone(), (file, covered));
    }

    /// What a file covers, if it is the one that was looked at.
    pub fn of(&self, key: &str, file: &InputFile) -> Option<Covered> {
        let (known, covered) = self.0.get(key)?.get(&file.location)?;
        (known == file).then_some(*covered)
    }

    /// Forgets what no definition asks any more.
    pub fn retain(&mut self, model: &Model) {
        let of_kpis = model.kpis.values().filter_map(|kpi| kpi.aggregate());
        let of_tables = model.tables.values().filter_map(|table| Events::of_freshness(table));
        let events = of_kpis.flat_map(Events::all_of).chain(of_tables);
        let asked: BTreeSet<String> = events.filter_map(|events| events.key(model)).collect();
        self.0.retain(|key, _| asked.contains(key));
    }

    /// What is known of further files, and of the same ones anew.
    pub fn extend(&mut self, other: &FileDays) {
        for (key, files) in &other.0 {
            files.values().for_each(|(file, covered)| self.insert(key, file.clone(), *covered));
        }
    }

    /// Everything that is known of a file.
    pub fn of_file<'a>(&'a self, file: &'a InputFile) -> impl Iterator<Item = (&'a str, Covered)> {
        self.0.keys().filter_map(|key| Some((key.as_str(), self.of(key, file)?)))
    }
}

/// What the rows of a table cover. Files that are known are not read.
pub(super) async fn covered(
    context: &SessionContext,
    model: &Model,
    events: &Events,
    known: &FileDays,
    found: &mut FileDays,
    as_of: AsOf,
) -> Result<Covered> {
    let whole = plan(model, events, as_of).map_err(query_error)?;
    if let Some(Origin::Files { opened, .. }) = model.tables.get(&events.table).map(|table| &table.origin)
        && let Some(key) = events.key(model)
        && let Some(files) = by_file(context, &whole, &key, &opened.files, known, as_of).await?
    {
        let all = files.iter().fold(Covered::default(), |all, (_, covered)| all.together(*covered));
        files.into_iter().for_each(|(file, covered)| found.insert(&key, file, covered));
        return Ok(all);
    }
    read(&collect(context, whole).await?.1)
}

/// What each file covers; `None` where the table cannot be read file by file.
async fn by_file(
    context: &SessionContext,
    whole: &LogicalPlan,
    key: &str,
    files: &[InputFile],
    known: &FileDays,
    as_of: AsOf,
) -> Result<Option<Vec<(InputFile, Covered)>>> {
    // Rows may stand in the place of files.
    if files.is_empty() {
        return Ok(None);
    }
    let of = |file: &InputFile| known.of(key, file).filter(|covered| covered.holds_from(as_of));
    let mut all: Vec<(InputFile, Covered)> = Vec::with_capacity(files.len());
    let mut unknown = Vec::new();
    for file in files {
        match of(file) {
            Some(covered) => all.push((file.clone(), covered)),
            None => unknown.push(file),
        }
    }
    if unknown.is_empty() {
        return Ok(Some(all));
    }
    let context = session::for_parts_of_a_plan(context);
    let physical = context.state().create_physical_plan(whole).await.map_err(query_error)?;
    let mut parts = Vec::with_capacity(unknown.len());
    for file in unknown {
        match over_file(&physical, &file.location).map_err(query_error)? {
            Some(part) => parts.push((file, part)),
            None => return Ok(None),
        }
    }
    // Boxed, so that the compiler sees that the whole can be sent to another thread.
    let parts: Vec<BoxFuture<'_, _>> =
        parts.into_iter().map(|(file, part)| of_part(&context, file, part).boxed()).collect();
    let at_once = context.state().config().target_partitions().max(1);
    let parts: Vec<(InputFile, Covered)> = stream::iter(parts).buffered(at_once).try_collect().await?;
    all.extend(parts);
    Ok(Some(all))
}

async fn of_part(
    context: &SessionContext,
    file: &InputFile,
    part: Arc<dyn ExecutionPlan>,
) -> Result<(InputFile, Covered)> {
    let rows = physical_plan::collect(part, context.task_ctx()).await.map_err(query_error)?;
    Ok((file.clone(), read(&rows)?))
}

/// One row: the first day, the last one, the last end, how many rows have no time, and how many times lie behind the day.
fn plan(model: &Model, events: &Events, as_of: AsOf) -> datafusion::common::Result<LogicalPlan> {
    let calendar = &model.project.calendar;
    let Events { time, time_type, .. } = events;
    let bounds = Bounds::until(as_of.day).condition(time, time_type, calendar);
    let (to, to_type) = events.to.as_ref().map_or((time, time_type), |(to, to_type)| (to, to_type));
    let to_bounds = Bounds::until(as_of.day).condition(to, to_type, calendar);
    let known = |call: Expr, bounds: &Expr| {
        // Only times within the bounds; a date of the year 9999 must not stretch the series.
        let Expr::AggregateFunction(mut call) = call else { return call };
        call.params.filter = Some(Box::new(bounds.clone()));
        Expr::AggregateFunction(call)
    };
    let is_later = |time: &Expr, bounds: &Expr| time.clone().is_not_null().and(bounds.clone().is_not_true());
    // Where a later time may have an earlier day, days are compared. Elsewhere times are, which is faster.
    let ordered = |time: &Expr, data_type: &DataType| match days_are_in_order(data_type, calendar) {
        true => time.clone(),
        false => day_of(time, data_type, calendar),
    };
    let day = |name: &str, data_type: &DataType| match days_are_in_order(data_type, calendar) {
        true => day_of(&column(name), data_type, calendar).alias(name),
        false => column(name),
    };
    let (times, ends) = (ordered(time, time_type), ordered(to, to_type));
    let later = is_later(time, &bounds).or(is_later(to, &to_bounds));
    let joins = if events.is_own() { Default::default() } else { events.joins.clone() };
    joined_rows(model, &events.table, &joins, Some((time, time_type)), false)?
        .aggregate(
            Vec::<Expr>::new(),
            vec![
                known(min(times.clone()), &bounds).alias("first"),
                known(max(times), &bounds).alias("last"),
                known(max(ends), &to_bounds).alias("ended"),
                count(lit(1_i64)).alias("rows"),
                count(time.clone()).alias("with_time"),
                known(count(lit(1_i64)), &later).alias("later"),
            ],
        )?
        .project(vec![
            day("first", time_type),
            day("last", time_type),
            day("ended", to_type),
            (column("rows") - column("with_time")).alias("without_time"),
            column("later"),
        ])?
        .build()
}

fn read(rows: &[RecordBatch]) -> Result<Covered> {
    let number = |index| rows.first().map_or(0, |rows| rows.column(index).as_primitive::<Int64Type>().value(0));
    Ok(Covered {
        first: date(rows, 0)?,
        last: date(rows, 1)?,
        ended: date(rows, 2)?,
        without_time: number(3),
        has_later: number(4) > 0,
    })
}
