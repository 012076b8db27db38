//! Rows that many cells look at are made once: levels, entities and cohorts, each of which is asked at every grain and for
//! every set of dimensions, share the joined rows of their table with all that they compute of a row.
//!
//! What the rows come to is computed for each cell by itself, by the same plans as without. Where there is no room for the
//! rows, every cell reads the table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::NaiveDate;
use datafusion::catalog::TableProvider;
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::compile::{Bounds, Cell, column, rows_within};
use crate::days::DayRanges;
use crate::model::{AGE, Aggregate, Dimension, Entities, JoinPath, Measure, Model, Placement, Stock, Subject};

/// The rows of one table for several KPIs.
#[derive(Debug, Clone)]
pub struct SharedRows {
    pub table: String,
    /// The KPIs that look at them.
    pub kpis: Vec<String>,
    /// The days that they need.
    pub days: DayRanges,
    time: Expr,
    time_type: datafusion::arrow::datatypes::DataType,
    condition: Option<Expr>,
    joins: BTreeSet<JoinPath>,
    /// What is computed of each row. The time comes first.
    columns: Vec<Expr>,
}

/// Groups the KPIs that look at the same rows.
pub(super) fn shared_rows(
    model: &Model,
    needed: &BTreeMap<String, BTreeSet<Cell>>,
    fused: &BTreeSet<String>,
    days: &BTreeMap<String, DayRanges>,
) -> Vec<SharedRows> {
    let all = DayRanges::all();
    let mut groups: Vec<SharedRows> = Vec::new();
    for name in model.order.iter().filter(|name| needed.contains_key(*name) && !fused.contains(*name)) {
        let Some(aggregate) = model.kpis[name].aggregate() else { continue };
        match &aggregate.subject {
            Subject::Rows | Subject::Entities(_) | Subject::Cohorts(_) => {}
            Subject::Conversions(_) | Subject::Funnel(_) => continue,
        }
        let is_same = |group: &SharedRows| {
            group.table == aggregate.table && group.time == aggregate.time && group.condition == aggregate.condition
        };
        let index = groups.iter().position(is_same).unwrap_or_else(|| {
            groups.push(SharedRows {
                table: aggregate.table.clone(),
                kpis: Vec::new(),
                days: DayRanges::none(),
                time: aggregate.time.clone(),
                time_type: aggregate.time_type.clone(),
                condition: aggregate.condition.clone(),
                joins: BTreeSet::new(),
                columns: vec![aggregate.time.clone()],
            });
            groups.len() - 1
        });
        let group = &mut groups[index];
        group.kpis.push(name.clone());
        group.days.extend(days.get(name).unwrap_or(&all));
        group.joins.extend(aggregate.joins.iter().cloned());
        let dimensions: BTreeSet<&String> = needed[name].iter().flat_map(|cell| &cell.dimensions).collect();
        for dimension in dimensions.into_iter().filter_map(|name| dimension(aggregate, name)) {
            group.joins.extend(dimension.joins.iter().cloned());
            group.add(&dimension.expression);
        }
        of_rows(aggregate, &mut |expression| group.add(expression));
    }
    groups
}

/// A dimension of the rows. The age of a cohort is none.
fn dimension<'a>(aggregate: &'a Aggregate, name: &str) -> Option<&'a Dimension> {
    let is_age = matches!(aggregate.subject, Subject::Cohorts(_)) && name == AGE;
    aggregate.dimensions.get(name).filter(|_| !is_age)
}

/// Every expression over the rows, beside time, condition and dimensions.
fn of_rows(aggregate: &Aggregate, note: &mut impl FnMut(&Expr)) {
    if let Placement::Stock(stock) | Placement::Boundaries(stock) = &aggregate.placement
        && let Some((to, _)) = &stock.to
    {
        note(to);
    }
    let measures = match &aggregate.subject {
        Subject::Rows | Subject::Conversions(_) | Subject::Funnel(_) => &aggregate.measures,
        Subject::Entities(entities) | Subject::Cohorts(crate::model::Cohorts { entities, .. }) => {
            entities.keys.iter().for_each(|(_, key)| note(key));
            &entities.measures
        }
    };
    for measure in measures {
        measure.arguments.iter().chain(&measure.filter).for_each(&mut *note);
    }
}

impl SharedRows {
    fn add(&mut self, expression: &Expr) {
        if !expression.column_refs().is_empty() && !self.columns.contains(expression) {
            self.columns.push(expression.clone());
        }
    }

    /// The rows, with a column for everything that is computed of them.
    pub fn logical_plan(&self, model: &Model, until: NaiveDate) -> Result<LogicalPlan> {
        let bounds = Bounds { days: self.days.clone(), until };
        let time = (&self.time, &self.time_type);
        let plan = rows_within(model, &self.table, &self.joins, time, self.condition.as_ref(), &bounds)?;
        let columns = self.columns.iter().enumerate();
        plan.project(columns.map(|(index, expression)| expression.clone().alias(name(index))))?.build()
    }

    /// An aggregate as it is over these rows.
    pub fn over(&self, aggregate: &Aggregate) -> Aggregate {
        let here = |expression: &Expr| match self.columns.iter().position(|known| known == expression) {
            Some(index) => column(&name(index)),
            None => expression.clone(),
        };
        let measures = |measures: &[Measure]| -> Vec<Measure> {
            let here = |measure: &Measure| Measure {
                arguments: measure.arguments.iter().map(here).collect(),
                filter: measure.filter.as_ref().map(here),
                ..measure.clone()
            };
            measures.iter().map(here).collect()
        };
        let stock = |stock: &Stock| Stock {
            to: stock.to.as_ref().map(|(to, data_type)| (here(to), data_type.clone())),
            at: stock.at,
        };
        let entities = |entities: &Entities| Entities {
            keys: entities.keys.iter().map(|(name, key)| (name.clone(), here(key))).collect(),
            measures: measures(&entities.measures),
            columns: entities.columns.clone(),
        };
        let mut over = aggregate.clone();
        over.time = here(&aggregate.time);
        over.condition = None;
        over.joins = BTreeSet::new();
        over.placement = match &aggregate.placement {
            Placement::Event => Placement::Event,
            Placement::Window(window) => Placement::Window(*window),
            Placement::Stock(own) => Placement::Stock(stock(own)),
            Placement::Boundaries(own) => Placement::Boundaries(stock(own)),
        };
        match &mut over.subject {
            Subject::Rows | Subject::Conversions(_) | Subject::Funnel(_) => {
                over.measures = measures(&aggregate.measures)
            }
            Subject::Entities(own) => *own = entities(own),
            Subject::Cohorts(own) => own.entities = entities(&own.entities),
        }
        for (name, dimension) in &mut over.dimensions {
            if self.dimension_is_here(aggregate, name) {
                dimension.expression = here(&dimension.expression);
                dimension.joins = BTreeSet::new();
            }
        }
        over
    }

    fn dimension_is_here(&self, aggregate: &Aggregate, name: &str) -> bool {
        dimension(aggregate, name).is_some_and(|dimension| {
            self.columns.contains(&dimension.expression) || dimension.expression.column_refs().is_empty()
        })
    }
}

fn name(index: usize) -> String {
    format!("#{index}")
}

/// Rows that were made, with the KPIs as they are over them.
pub struct KeptRows {
    pub provider: Arc<dyn TableProvider>,
    pub aggregates: BTreeMap<String, Aggregate>,
    pub count: usize,
}
