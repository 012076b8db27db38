//! The rows of a table with those behind its joins, cut to the days of interest, on their way to the aggregates.
//!
//! What a KPI makes of its rows first (its subject) decides the way; each has a file. No value is computed here.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::{Column, Result, TableReference, internal_datafusion_err};
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::logical_expr::builder::table_source;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlanBuilder, lit};

use super::bounds::Bounds;
use super::placement::{Counted, place};
use super::{Cell, Leaves, Request, View, cohort, conversion, entities, funnel};
use crate::model::{Aggregate, Dimension, JoinPath, Kpi, Measure, Model, Placement, Subject, Table, join_alias};

/// Aggregates straight from the table.
pub struct TableLeaves<'a> {
    pub model: &'a Model,
    pub bounds: Bounds,
    /// Whether tables stand in the plan by their names only, for SQL that people read. Such a plan cannot run.
    pub by_name: bool,
}

impl Leaves for TableLeaves<'_> {
    fn leaf(&self, _kpi: &Kpi, aggregate: &Aggregate, request: &Request) -> Result<LogicalPlanBuilder> {
        match &aggregate.subject {
            Subject::Rows | Subject::Conversions(_) | Subject::Funnel(_) => {
                let keys = dimension_keys(aggregate, request.cell)?;
                let counted = self.counted(aggregate, keys, &aggregate.measures, request)?;
                place(self.model, counted, request.placement, request.cell.grain, request.view)
            }
            Subject::Entities(entities) => entities::plan(self, aggregate, entities, request),
            Subject::Cohorts(cohorts) => cohort::plan(self, aggregate, cohorts, request),
        }
    }

    fn is_by_name(&self) -> bool {
        self.by_name
    }
}

impl TableLeaves<'_> {
    /// The rows that count, with everything that is grouped and aggregated as expressions over them.
    pub(super) fn counted(
        &self,
        aggregate: &Aggregate,
        keys: Keys,
        measures: &[Measure],
        request: &Request,
    ) -> Result<Counted> {
        let bounds = self.days_read(request.placement, request.view);
        let rows = |time: &Expr, bounds: Bounds| -> Result<LogicalPlanBuilder> {
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
            joined_rows(self.model, &aggregate.table, &joins, self.by_name)?
                .filter(condition.reduce(Expr::and).unwrap_or_else(|| lit(true)))
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
                counted.plan = rows(&aggregate.time, bounds)?;
            }
            Subject::Funnel(steps) => {
                counted.plan = rows(&aggregate.time, bounds)?;
                counted = funnel::by_step(counted, steps)?;
            }
            Subject::Conversions(conversions) => {
                // All base events stand in one line, also those before the days of interest: one of them may take a
                // conversion from those inside. Only then the days are cut.
                let seen = Bounds { since: None, until: bounds.until };
                counted.plan = rows(&conversions.base_time, seen)?;
                let followed = conversion::conversions(self, aggregate, conversions, bounds, &keys.joins)?;
                counted = conversion::with_conversions(counted, &aggregate.table, conversions, followed)?;
                let within = bounds.condition(&counted.time, &counted.time_type, &self.model.project.calendar);
                counted.plan = counted.plan.filter(within)?;
            }
        }
        Ok(counted)
    }

    /// The days whose rows can matter: of windows and levels all up to the last day that counts.
    pub(super) fn days_read(&self, placement: &Placement, view: View) -> Bounds {
        let until = view.last().map_or(self.bounds.until, |last| last.min(self.bounds.until));
        match (placement, view.days) {
            (Placement::Event, Some((first, _))) => Bounds { since: Some(first), until },
            (Placement::Event, None) => Bounds {
                since: self.bounds.since,
                until: view.until.map_or(self.bounds.until, |until| until.min(self.bounds.until)),
            },
            (Placement::Window(_) | Placement::Stock(_) | Placement::Boundaries(_), _) => Bounds { since: None, until },
        }
    }
}

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

/// The rows of a table with those behind its joins. Each join finds at most one row, so none is multiplied or lost.
pub fn joined_rows(
    model: &Model,
    table: &str,
    joins: &BTreeSet<JoinPath>,
    by_name: bool,
) -> Result<LogicalPlanBuilder> {
    let base = find(model, table)?;
    let mut plan = scan(base, table, by_name)?;
    // A path sorts behind its own beginning, so what it joins to is there already.
    for path in joins {
        let (name, before) = path.split_last().ok_or_else(|| internal_datafusion_err!("an empty join path"))?;
        let from = before.iter().try_fold(base, |table, join| follow(model, table, join))?;
        let join = from.joins.get(name).ok_or_else(|| internal_datafusion_err!("join `{name}` was not prepared"))?;
        let relation = if before.is_empty() { table.to_owned() } else { join_alias(before) };
        let alias = join_alias(path);
        let target = scan(find(model, &join.table)?, &alias, by_name)?;
        let left: Vec<Column> = join.on.iter().map(|(here, _)| qualified(&relation, here)).collect();
        let right: Vec<Column> = join.on.iter().map(|(_, there)| qualified(&alias, there)).collect();
        plan = plan.join(target.build()?, JoinType::Left, (left, right), None)?;
    }
    Ok(plan)
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
