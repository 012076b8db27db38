//! The rows of a table with those behind its joins, cut to the days of interest, on their way to the aggregates.
//!
//! What a KPI makes of its rows first (its subject) decides the way; each has a file. No value is computed here.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::NaiveDate;

use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::common::{Column, DataFusionError, Result, TableReference, internal_datafusion_err};
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::logical_expr::builder::table_source;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlanBuilder, cast, lit};

use super::bounds::{Bounds, day_of};
use super::placement::{Counted, Periods, place};
use super::{Cell, Leaves, Request, View, Way, cohort, conversion, entities, funnel};
use crate::days::DayRanges;
use crate::functions::utc_timestamp;
use crate::model::{
    Aggregate, Dimension, JoinPath, Kpi, Measure, Model, Placement, Subject, Table, Validity, join_alias,
};
use crate::time::{Calendar, Grain};

/// Aggregates straight from the table.
pub struct TableLeaves<'a> {
    pub model: &'a Model,
    pub bounds: Bounds,
    pub way: Way,
    /// Rows in the place of those of the table and its joins.
    pub rows: Option<Arc<dyn TableProvider>>,
}

impl Leaves for TableLeaves<'_> {
    fn leaf(&self, _kpi: &Kpi, aggregate: &Aggregate, request: &Request) -> Result<LogicalPlanBuilder> {
        match &aggregate.subject {
            Subject::Rows | Subject::Conversions(_) | Subject::Funnel(_) => {
                let keys = dimension_keys(aggregate, request.cell)?;
                let counted = self.counted(aggregate, keys, &aggregate.measures, request)?;
                place(counted, request.placement, self.periods(request))
            }
            Subject::Entities(entities) => entities::plan(self, aggregate, entities, request),
            Subject::Cohorts(cohorts) => cohort::plan(self, aggregate, cohorts, request),
        }
    }

    fn way(&self) -> Way {
        self.way
    }
}

impl TableLeaves<'_> {
    /// The periods that a request is about.
    pub(super) fn periods(&self, request: &Request) -> Periods<'_> {
        Periods { model: self.model, grain: request.cell.grain, view: request.view, way: self.way }
    }

    /// All rows that count in the period of their time, whatever they are made of first, with these dimensions as keys.
    pub fn rows(&self, aggregate: &Aggregate, dimensions: Vec<String>) -> Result<Counted> {
        let cell = Cell { grain: Grain::Day, dimensions };
        let view = View { extent: None, days: None, until: None };
        let request = Request { placement: &Placement::Event, cell: &cell, view };
        self.counted(aggregate, dimension_keys(aggregate, &cell)?, &aggregate.measures, &request)
    }

    /// The rows that count, with everything that is grouped and aggregated as expressions over them.
    pub(super) fn counted(
        &self,
        aggregate: &Aggregate,
        keys: Keys,
        measures: &[Measure],
        request: &Request,
    ) -> Result<Counted> {
        let bounds = self.days_read(request.placement, request.view);
        let rows = |time: &Expr, bounds: &Bounds| -> Result<LogicalPlanBuilder> {
            let mut joins = aggregate.joins.clone();
            joins.extend(keys.joins.iter().cloned());
            let calendar = &self.model.project.calendar;
            let time_type = match &aggregate.subject {
                Subject::Conversions(conversions) => &conversions.base_time_type,
                Subject::Rows | Subject::Entities(_) | Subject::Funnel(_) | Subject::Cohorts(_) => &aggregate.time_type,
            };
            let bounds = bounds.condition(time, time_type, calendar);
            let is_somebodys = keys.entity.iter().map(|(_, entity)| entity.clone().is_not_null());
            let condition = aggregate.condition.iter().cloned().chain(is_somebodys).chain([bounds]);
            let rows = match &self.rows {
                Some(rows) => LogicalPlanBuilder::scan(ROWS_AT_HAND, provider_as_source(rows.clone()), None)?,
                None => joined_rows(self.model, &aggregate.table, &joins, Some((time, time_type)), self.is_by_name())?,
            };
            rows.filter(condition.reduce(Expr::and).unwrap_or_else(|| lit(true)))
        };
        let mut counted = Counted {
            plan: LogicalPlanBuilder::empty(true),
            keys: keys.dimensions.iter().chain(&keys.entity).cloned().collect(),
            measures: measures.to_vec(),
            time: aggregate.time.clone(),
            time_type: aggregate.time_type.clone(),
        };
        match &aggregate.subject {
            Subject::Rows | Subject::Entities(_) | Subject::Cohorts(_) => {
                counted.plan = rows(&aggregate.time, &bounds)?;
            }
            Subject::Funnel(steps) => {
                counted.plan = rows(&aggregate.time, &bounds)?;
                counted = funnel::by_step(counted, steps)?;
            }
            Subject::Conversions(conversions) => {
                // All base events stand in one line, also those before the days of interest: one of them may take a
                // conversion from those inside. Only then the days are cut.
                let seen = Bounds::until(bounds.until);
                counted.plan = rows(&conversions.base_time, &seen)?;
                let followed =
                    conversion::conversions(self, aggregate, conversions, self.until(request.view), &keys.joins)?;
                counted = conversion::with_conversions(counted, &aggregate.table, conversions, followed)?;
                let within = bounds.condition(&counted.time, &counted.time_type, &self.model.project.calendar);
                counted.plan = counted.plan.filter(within)?;
            }
        }
        Ok(counted)
    }

    /// The day up to which things happened, as far as they are looked at; the data of one table may end before.
    fn until(&self, view: View) -> NaiveDate {
        let asked = view.days.map(|(_, last)| last).or(view.until);
        asked.map_or(self.bounds.until, |asked| asked.min(self.bounds.until))
    }

    /// The days whose rows can matter: of windows and levels all up to the last day that counts.
    pub(super) fn days_read(&self, placement: &Placement, view: View) -> Bounds {
        let until = view.last().map_or(self.bounds.until, |last| last.min(self.bounds.until));
        match (placement, view.days) {
            (Placement::Event, Some((first, _))) => Bounds { days: DayRanges::since(first), until },
            (Placement::Event, None) => Bounds { days: self.bounds.days.clone(), until: self.until(view) },
            (Placement::Window(_) | Placement::Stock(_) | Placement::Boundaries(_), _) => Bounds::until(until),
        }
    }
}

/// The relation of rows that were made before.
const ROWS_AT_HAND: &str = "rows at hand";

/// What rows are grouped by, beside the period.
pub(super) struct Keys {
    pub dimensions: Vec<(String, Expr)>,
    pub entity: Vec<(String, Expr)>,
    pub joins: BTreeSet<JoinPath>,
}

/// The dimensions of a cell as expressions over the rows.
pub(super) fn dimension_keys(aggregate: &Aggregate, cell: &Cell) -> Result<Keys> {
    let mut keys = Keys { dimensions: Vec::new(), entity: Vec::new(), joins: BTreeSet::new() };
    for name in &cell.dimensions {
        let dimension: &Dimension = aggregate
            .dimensions
            .get(name)
            .ok_or_else(|| internal_datafusion_err!("dimension `{name}` was not prepared"))?;
        keys.joins.extend(dimension.joins.iter().cloned());
        keys.dimensions.push((name.clone(), dimension.expression.clone()));
    }
    Ok(keys)
}

/// The time of a row, and its type.
pub type RowTime<'a> = (&'a Expr, &'a DataType);

/// The rows of a table with those behind its joins. Each join finds at most one row, so none is multiplied or lost. A
/// history is joined as it was at `time`, which itself needs joins to no history.
pub fn joined_rows(
    model: &Model,
    table: &str,
    joins: &BTreeSet<JoinPath>,
    time: Option<RowTime>,
    by_name: bool,
) -> Result<LogicalPlanBuilder> {
    let base = find(model, table)?;
    let mut plan = scan(base, table, by_name)?;
    let mut paths = Vec::new();
    for path in joins {
        let (name, before) = path.split_last().ok_or_else(|| internal_datafusion_err!("an empty join path"))?;
        let from = before.iter().try_fold(base, |table, join| follow(model, table, join))?;
        let join = from.joins.get(name).ok_or_else(|| internal_datafusion_err!("join `{name}` was not prepared"))?;
        let steps = (1..=path.len()).map(|length| &path[..length]);
        let needs_time = steps.into_iter().any(|path| is_history(model, base, path));
        paths.push((needs_time, path, before, join));
    }
    // What the time needs is there before it is asked for, and a path sorts behind its own beginning.
    paths.sort_by_key(|(needs_time, path, ..)| (*needs_time, *path));
    for (_, path, before, join) in paths {
        let relation = if before.is_empty() { table.to_owned() } else { join_alias(before) };
        let alias = join_alias(path);
        let partner = find(model, &join.table)?;
        let target = scan(partner, &alias, by_name)?;
        let was_valid = match &join.valid {
            Some(validity) => Some(was_valid(validity, partner, &alias, time, &model.project.calendar)?),
            None => None,
        };
        let left: Vec<Column> = join.on.iter().map(|(here, _)| qualified(&relation, here)).collect();
        let right: Vec<Column> = join.on.iter().map(|(_, there)| qualified(&alias, there)).collect();
        plan = plan.join(target.build()?, JoinType::Left, (left, right), was_valid)?;
    }
    Ok(plan)
}

/// The joined rows of a table that satisfy a condition and lie within the days of interest.
pub fn rows_within(
    model: &Model,
    table: &str,
    joins: &BTreeSet<JoinPath>,
    time: RowTime,
    condition: Option<&Expr>,
    bounds: &Bounds,
) -> Result<LogicalPlanBuilder> {
    let within = bounds.condition(time.0, time.1, &model.project.calendar);
    let condition = condition.cloned().into_iter().chain([within]).reduce(Expr::and);
    joined_rows(model, table, joins, Some(time), false)?.filter(condition.unwrap_or_else(|| lit(true)))
}

fn is_history(model: &Model, base: &Table, path: &[String]) -> bool {
    let Some((name, before)) = path.split_last() else { return false };
    let from = before.iter().try_fold(base, |table, join| follow(model, table, join));
    from.is_ok_and(|from| from.joins.get(name).is_some_and(|join| join.valid.is_some()))
}

/// Whether a row of a history was valid at a time: from its first moment on, and before its end. Days are compared with
/// days of the project's zone, and instants with instants.
fn was_valid(
    validity: &Validity,
    history: &Table,
    alias: &str,
    time: Option<RowTime>,
    calendar: &Calendar,
) -> Result<Expr> {
    let Some(time) = time else { return Err(internal_datafusion_err!("a history is joined without a time")) };
    let data_type = |name: &str| Ok::<_, DataFusionError>(history.schema.field_with_name(name)?.data_type());
    let (from, to) = (Expr::Column(qualified(alias, &validity.from)), Expr::Column(qualified(alias, &validity.to)));
    let sides = [time, (&from, data_type(&validity.from)?), (&to, data_type(&validity.to)?)];
    let is_by_day = sides.iter().any(|(_, data_type)| !matches!(data_type, DataType::Timestamp(_, _)));
    let is_alike = sides.iter().all(|(_, data_type)| *data_type == sides[0].1);
    let [time, first, end] = sides.map(|(value, data_type)| match () {
        () if is_alike => value.clone(),
        () if is_by_day => day_of(value, data_type, calendar),
        () => cast(value.clone(), utc_timestamp()),
    });
    let has_not_ended = to.is_null().or(time.clone().lt(end));
    Ok(first.lt_eq(time).and(has_not_ended))
}

fn qualified(relation: &str, name: &str) -> Column {
    Column::new(Some(TableReference::bare(relation)), name)
}

fn follow<'a>(model: &'a Model, table: &Table, join: &str) -> Result<&'a Table> {
    let join = table.joins.get(join).ok_or_else(|| internal_datafusion_err!("join `{join}` was not prepared"))?;
    find(model, &join.table)
}

fn find<'a>(model: &'a Model, table: &str) -> Result<&'a Table> {
    let table = model.tables.get(table).ok_or_else(|| internal_datafusion_err!("table `{table}` was not prepared"))?;
    Ok(table)
}

/// The rows of a table alone.
pub(super) fn scan_table(model: &Model, table: &str, by_name: bool) -> Result<LogicalPlanBuilder> {
    scan(find(model, table)?, table, by_name)
}

fn scan(table: &Table, alias: &str, by_name: bool) -> Result<LogicalPlanBuilder> {
    let name = TableReference::bare(table.name.as_str());
    let source = match by_name {
        true => table_source(&table.schema),
        false => provider_as_source(Arc::new(ViewTable::new(table.plan.as_ref().clone(), None))),
    };
    let plan = LogicalPlanBuilder::scan(name, source, None)?;
    if alias == table.name { Ok(plan) } else { plan.alias(TableReference::bare(alias)) }
}
