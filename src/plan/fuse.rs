//! KPIs over one table share one pass: all their aggregates at once, by day and by the few sets of dimensions from which
//! every cell can be rolled up.
//!
//! Only aggregates of rows that add up take part, also those over windows, which are made of days. A distinct count, a level
//! or anything that looks at entities is computed for each cell by itself. A KPI's own filter becomes
//! the filter of its aggregates, and a group where it finds no row is left out again, so that a fused value is the value
//! that the KPI has alone. Whether a set of dimensions is too fine to be worth it is not weighed yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::compute::kernels::cmp::eq;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::{Column, Result, ScalarValue, TableReference, internal_datafusion_err};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::logical_plan::Aggregate as AggregatePlan;
use datafusion::logical_expr::{Expr, GroupingSet, LogicalPlan, LogicalPlanBuilder, cast, lit};

use crate::compile::{
    Bounds, Cell, Leaves, PERIOD_START, Request, TableLeaves, column, day_of, joined_rows, period_of, rolled_up,
    with_types_of,
};
use crate::model::{Aggregate, JoinPath, Kpi, MeasureFunction, Model, Placement, ROWS, Shape, measure_expression};
use crate::time::{Grain, to_epoch_days};

/// One scan of a table for several KPIs.
#[derive(Debug, Clone)]
pub struct Pass {
    pub table: String,
    /// The KPIs that it serves.
    pub kpis: Vec<String>,
    time: Expr,
    time_type: datafusion::arrow::datatypes::DataType,
    /// The grain of its rows: the coarsest from which all grains asked can be rolled up.
    grain: Grain,
    joins: BTreeSet<JoinPath>,
    /// Every dimension of its sets, by name, in the order of the grouping.
    dimensions: BTreeMap<String, Expr>,
    /// The sets of dimensions that it groups by; each cell's dimensions are a part of one of them.
    sets: Vec<BTreeSet<String>>,
    /// A condition that all its KPIs have.
    condition: Option<Expr>,
    measures: Vec<PassMeasure>,
}

#[derive(Debug, Clone, PartialEq)]
struct PassMeasure {
    function: MeasureFunction,
    arguments: Vec<Expr>,
    filter: Option<Expr>,
}

// Names that no dimension can have.
const DAY: &str = "#day";
const SET: &str = "#set";

/// Groups the KPIs that can share a scan.
///
/// Those in `looked_back` may be asked for some days of a period only.
pub(super) fn passes(
    model: &Model,
    needed: &BTreeMap<String, BTreeSet<Cell>>,
    looked_back: &BTreeSet<String>,
) -> Vec<Pass> {
    let mut groups: Vec<(&Aggregate, Vec<&Kpi>)> = Vec::new();
    for name in model.order.iter().filter(|name| needed.contains_key(*name)) {
        let kpi = model.kpis[name].as_ref();
        let Some(aggregate) = kpi.aggregate().filter(|aggregate| aggregate.is_made_of_days()) else { continue };
        let same =
            |(first, _): &&mut (&Aggregate, Vec<&Kpi>)| first.table == aggregate.table && first.time == aggregate.time;
        match groups.iter_mut().find(same) {
            Some((_, kpis)) => kpis.push(kpi),
            None => groups.push((aggregate, vec![kpi])),
        }
    }
    groups.into_iter().map(|(first, kpis)| pass(first, &kpis, needed, looked_back)).collect()
}

fn pass(
    first: &Aggregate,
    kpis: &[&Kpi],
    needed: &BTreeMap<String, BTreeSet<Cell>>,
    looked_back: &BTreeSet<String>,
) -> Pass {
    let aggregates: Vec<&Aggregate> = kpis.iter().filter_map(|kpi| kpi.aggregate()).collect();
    let cells = || kpis.iter().flat_map(|kpi| &needed[&kpi.name]);
    let is_common = aggregates.iter().all(|aggregate| aggregate.condition == first.condition);
    let looked_back = || kpis.iter().any(|kpi| looked_back.contains(&kpi.name));
    let has_window = aggregates.iter().any(|aggregate| matches!(aggregate.placement, Placement::Window(_)));
    let needs_days = has_window || looked_back() || cells().any(|cell| matches!(cell.grain, Grain::Day | Grain::Week));
    let mut pass = Pass {
        table: first.table.clone(),
        kpis: kpis.iter().map(|kpi| kpi.name.clone()).collect(),
        time: first.time.clone(),
        time_type: first.time_type.clone(),
        grain: if needs_days { Grain::Day } else { Grain::Month },
        joins: aggregates.iter().flat_map(|aggregate| aggregate.joins.iter().cloned()).collect(),
        dimensions: BTreeMap::new(),
        sets: covering(cells().map(|cell| cell.dimensions.iter().cloned().collect())),
        condition: if is_common { first.condition.clone() } else { None },
        measures: Vec::new(),
    };
    for name in pass.sets.iter().flatten() {
        let dimension = aggregates.iter().find_map(|aggregate| aggregate.dimensions.get(name));
        if let Some(dimension) = dimension {
            pass.joins.extend(dimension.joins.iter().cloned());
            pass.dimensions.insert(name.clone(), dimension.expression.clone());
        }
    }
    for aggregate in aggregates {
        for measure in pass.measures_of(aggregate) {
            if !pass.measures.contains(&measure) {
                pass.measures.push(measure);
            }
        }
    }
    pass
}

/// The fewest sets such that each asked one is a part of one of them: those that are part of no other.
fn covering(asked: impl Iterator<Item = BTreeSet<String>>) -> Vec<BTreeSet<String>> {
    let mut asked: Vec<BTreeSet<String>> = asked.collect();
    asked.sort_by_key(|set| (std::cmp::Reverse(set.len()), set.clone()));
    asked.dedup();
    let mut kept: Vec<BTreeSet<String>> = Vec::new();
    for set in asked {
        if !kept.iter().any(|other| set.is_subset(other)) {
            kept.push(set);
        }
    }
    kept
}

impl Pass {
    /// The scan: one row for each day (or month), set of dimensions and group.
    pub fn logical_plan(&self, model: &Model, bounds: Bounds) -> Result<LogicalPlan> {
        let calendar = &model.project.calendar;
        let bounds = bounds.condition(&self.time, &self.time_type, calendar);
        let condition = self.condition.iter().cloned().chain([bounds]).reduce(Expr::and).unwrap_or_else(|| lit(true));
        let time = Some((&self.time, &self.time_type));
        let plan = joined_rows(model, &self.table, &self.joins, time, false)?.filter(condition)?;

        // Every expression is computed once for each row, then grouped by name.
        let day = period_of(day_of(&self.time, &self.time_type, calendar), self.grain, calendar);
        let mut computed = Computed { columns: vec![day.alias(DAY)], known: Vec::new() };
        // Each dimension has a column of its own, also where two have the same expression: a set is told by its columns.
        let names: Vec<String> = (0..self.dimensions.len()).map(|index| format!("#dimension {index}")).collect();
        let dimensions = self.dimensions.values().zip(&names).map(|(expression, name)| expression.clone().alias(name));
        computed.columns.extend(dimensions);
        let mut aggregates = Vec::new();
        for (index, measure) in self.measures.iter().enumerate() {
            let arguments = measure.arguments.iter().map(|argument| column(&computed.column("input", argument)));
            let arguments = arguments.collect();
            let filter = measure.filter.as_ref().map(|filter| column(&computed.column("filter", filter)));
            aggregates.push(measure_expression(measure.function, arguments, filter).alias(measure_name(index)));
        }
        let plan = plan.project(computed.columns)?;

        let groups = |set: &BTreeSet<String>| -> Vec<Expr> {
            let members = self.dimensions.keys().zip(&names).filter(|(name, _)| set.contains(*name));
            [column(DAY)].into_iter().chain(members.map(|(_, column_name)| column(column_name))).collect()
        };
        let (plan, set) = match self.sets.as_slice() {
            [only] => (plan.aggregate(groups(only), aggregates)?, lit(0_u64)),
            sets => {
                let sets = GroupingSet::GroupingSets(sets.iter().map(groups).collect());
                let plan = plan.aggregate(vec![Expr::GroupingSet(sets)], aggregates)?;
                let id = Expr::Column(Column::from_name(AggregatePlan::INTERNAL_GROUPING_ID));
                (plan, cast(id, datafusion::arrow::datatypes::DataType::UInt64))
            }
        };
        let mut columns = vec![column(DAY), set.alias(SET)];
        columns.extend(self.dimensions.keys().zip(&names).map(|(name, column_name)| column(column_name).alias(name)));
        columns.extend((0..self.measures.len()).map(|index| column(&measure_name(index))));
        plan.project(columns)?.build()
    }

    /// The rows of this pass, apart for each set of dimensions.
    pub fn split(&self, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<PassRows> {
        let mut sets = Vec::new();
        for set in &self.sets {
            let mut own = Vec::new();
            for batch in batches {
                if self.sets.len() == 1 {
                    own.push(batch.clone());
                    continue;
                }
                let marks =
                    batch.column_by_name(SET).ok_or_else(|| internal_datafusion_err!("a pass without `{SET}`"))?;
                let is_own = eq(marks, &self.grouping_id(set).to_scalar()?)?;
                let rows = filter_record_batch(batch, &is_own)?;
                if rows.num_rows() > 0 {
                    own.push(rows);
                }
            }
            let rows = own.iter().map(RecordBatch::num_rows).sum();
            let provider: Arc<dyn TableProvider> = Arc::new(MemTable::try_new(schema.clone(), vec![own])?);
            sets.push((provider, rows));
        }
        Ok(PassRows { sets })
    }

    /// A KPI's cell, rolled up from the rows of this pass.
    fn leaf(
        &self,
        model: &Model,
        rows: &PassRows,
        aggregate: &Aggregate,
        request: &Request,
    ) -> Result<LogicalPlanBuilder> {
        let cell = request.cell;
        let wanted: BTreeSet<String> = cell.dimensions.iter().cloned().collect();
        // Of the sets that have the cell's dimensions, the one with the fewest rows to add up.
        let sets = self.sets.iter().zip(&rows.sets).filter(|(set, _)| wanted.is_subset(set));
        let (_, (provider, _)) = sets
            .min_by_key(|(_, (_, rows))| *rows)
            .ok_or_else(|| internal_datafusion_err!("no set of the pass covers {wanted:?}"))?;
        let relation = TableReference::bare(format!("pass over {}", self.table));
        let mut plan = LogicalPlanBuilder::scan(relation, provider_as_source(provider.clone()), None)?;
        let day = |day| lit(ScalarValue::Date32(Some(to_epoch_days(day))));
        if let Some((first, last)) = request.view.days {
            plan = plan.filter(column(DAY).between(day(first), day(last)))?;
        }
        if let Some(until) = request.view.until {
            plan = plan.filter(column(DAY).lt_eq(day(until)))?;
        }
        let mut groups = vec![period_of(column(DAY), cell.grain, &model.project.calendar).alias(PERIOD_START)];
        groups.extend(cell.dimensions.iter().map(|name| column(name).alias(name)));

        let mut columns = Vec::new();
        let mut names: Vec<&str> = aggregate.measures.iter().map(|measure| measure.name.as_str()).collect();
        names.push(ROWS);
        for (name, measure) in names.iter().zip(self.measures_of(aggregate)) {
            let index = self.measures.iter().position(|known| *known == measure);
            let index = index.ok_or_else(|| internal_datafusion_err!("the pass lacks a measure of the KPI"))?;
            let part = column(&measure_name(index));
            let whole = rolled_up(measure.function, part);
            columns.push(whole.alias(*name));
        }
        let plan = plan.aggregate(groups, columns)?.filter(column(ROWS).gt(lit(0_i64)))?;
        with_types_of(plan, &aggregate.measures, cell.dimensions.iter().map(String::as_str))
    }

    /// The measures of a KPI as this pass computes them, in the KPI's order, the number of its rows last.
    fn measures_of(&self, aggregate: &Aggregate) -> Vec<PassMeasure> {
        let own = aggregate.condition.as_ref().filter(|_| self.condition.is_none());
        let filter = |filter: Option<&Expr>| own.into_iter().chain(filter).cloned().reduce(Expr::and);
        let measures = aggregate.measures.iter().map(|measure| PassMeasure {
            function: measure.function,
            arguments: measure.arguments.clone(),
            filter: filter(measure.filter.as_ref()),
        });
        let rows = PassMeasure { function: MeasureFunction::Count, arguments: Vec::new(), filter: filter(None) };
        measures.chain([rows]).collect()
    }

    /// The number by which DataFusion marks the rows of a set: a bit for each grouped column that the set leaves out, in
    /// the order in which the columns first appear in the sets.
    fn grouping_id(&self, set: &BTreeSet<String>) -> ScalarValue {
        let mut columns: Vec<&String> = Vec::new();
        for name in self.sets.iter().flatten() {
            if !columns.contains(&name) {
                columns.push(name);
            }
        }
        let id = columns.iter().fold(0_u64, |id, name| (id << 1) | u64::from(!set.contains(*name)));
        ScalarValue::UInt64(Some(id))
    }
}

fn measure_name(index: usize) -> String {
    format!("#measure {index}")
}

/// Columns computed for each row, each expression once.
struct Computed {
    columns: Vec<Expr>,
    known: Vec<(Expr, String)>,
}

impl Computed {
    fn column(&mut self, kind: &str, expression: &Expr) -> String {
        if let Some((_, name)) = self.known.iter().find(|(known, _)| known == expression) {
            return name.clone();
        }
        let name = format!("#{kind} {}", self.known.len());
        self.columns.push(expression.clone().alias(&name));
        self.known.push((expression.clone(), name.clone()));
        name
    }
}

/// Leaves from passes that have run; KPIs outside all passes read their table.
pub struct FusedLeaves<'a> {
    pub model: &'a Model,
    /// Each pass with the rows that it gave.
    pub passes: Vec<(&'a Pass, PassRows)>,
    pub tables: TableLeaves<'a>,
}

impl FusedLeaves<'_> {
    /// Whether a KPI needs no table any more.
    pub fn is_fused(&self, kpi: &Kpi) -> bool {
        match &kpi.shape {
            Shape::Aggregate(_) => self.passes.iter().any(|(pass, _)| pass.kpis.contains(&kpi.name)),
            Shape::Arithmetic(_) | Shape::Composite(_) => true,
            Shape::Query(_) => false,
        }
    }
}

/// What a pass found: the rows of each of its sets, and how many there are.
#[derive(Debug, Clone)]
pub struct PassRows {
    sets: Vec<(Arc<dyn TableProvider>, usize)>,
}

impl Leaves for FusedLeaves<'_> {
    fn leaf(&self, kpi: &Kpi, aggregate: &Aggregate, request: &Request) -> Result<LogicalPlanBuilder> {
        match self.passes.iter().find(|(pass, _)| pass.kpis.contains(&kpi.name)) {
            Some((pass, rows)) => pass.leaf(self.model, rows, aggregate, request),
            None => self.tables.leaf(kpi, aggregate, request),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_sets_that_are_part_of_no_other_cover_all() {
        let asked = [set(&[]), set(&["region"]), set(&["region", "channel"]), set(&["product"]), set(&["channel"])];
        assert_eq!(covering(asked.into_iter()), [set(&["channel", "region"]), set(&["product"])]);
        assert_eq!(covering([set(&[])].into_iter()), [set(&[])]);
    }
}
