//! KPIs over one table share one pass: all their aggregates at once, at all cells that are asked of them.
//!
//! What takes part: aggregates of rows that count in the period of their time. Sums, counts and ends of windows take part
//! too, as windows are made of days. A KPI's own filter becomes the filter of its aggregates, and a group where it finds no
//! row is left out again, so that a fused value is the value that the KPI has alone. Conversions and funnels make rows of
//! their own first, so each has a pass of its own. Levels, entities and cohorts are computed for each cell by itself, over rows
//! that `rows` makes once. How a pass groups its rows is for `cube` to say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::NaiveDate;
use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, SchemaRef, UInt32Type};
use datafusion::catalog::TableProvider;
use datafusion::common::{Result, ScalarValue, TableReference, internal_datafusion_err};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};

use crate::compile::{
    Bounds, Cell, Leaves, PERIOD_START, Request, TableLeaves, Way, column, day_of, period_of, rolled_up, rows_within,
    with_types_of,
};
use crate::cube::{self, CELL, CubeNode, PERIOD};
use crate::days::DayRanges;
use crate::model::{
    Aggregate, JoinPath, Kpi, Measure, MeasureFunction, Model, Placement, ROWS, Shape, Subject, measure_expression,
};
use crate::time::{Grain, to_epoch_days};

use super::rows::KeptRows;

/// One scan of a table for several KPIs.
#[derive(Debug, Clone)]
pub struct Pass {
    pub table: String,
    /// The KPIs that it serves.
    pub kpis: Vec<String>,
    /// The days that they need.
    pub days: DayRanges,
    rows: Rows,
    /// Every dimension of its cells.
    dimensions: Vec<String>,
    /// The cells whose groups it gives, with the positions of the measures wanted there.
    cells: Vec<(Asked, BTreeSet<usize>)>,
    measures: Vec<PassMeasure>,
}

/// Which rows a pass goes over.
#[derive(Debug, Clone)]
enum Rows {
    /// Those of a table with its joins.
    Table {
        time: Expr,
        time_type: DataType,
        joins: BTreeSet<JoinPath>,
        expressions: BTreeMap<String, Expr>,
        /// A condition that all its KPIs have.
        condition: Option<Expr>,
    },
    /// Those that its one KPI makes of them.
    Own,
}

/// A grain and a set of dimensions, in no order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    grain: Grain,
    dimensions: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq)]
struct PassMeasure {
    function: MeasureFunction,
    arguments: Vec<Expr>,
    filter: Option<Expr>,
}

/// A KPI with the cells that are asked of it.
type Asking<'a> = (&'a Kpi, &'a Aggregate, BTreeSet<Asked>);

/// Groups the KPIs that can share a scan.
///
/// Those in `looked_back` may be asked for some days of a period only.
pub(super) fn passes(
    model: &Model,
    needed: &BTreeMap<String, BTreeSet<Cell>>,
    looked_back: &BTreeSet<String>,
    days: &BTreeMap<String, DayRanges>,
) -> Vec<Pass> {
    let mut groups: Vec<Vec<Asking>> = Vec::new();
    for name in model.order.iter().filter(|name| needed.contains_key(*name)) {
        let kpi = model.kpis[name].as_ref();
        let Some(aggregate) = kpi.aggregate().filter(|aggregate| why_not_fused(aggregate).is_none()) else { continue };
        let asking = (kpi, aggregate, asked(aggregate, &needed[name], looked_back.contains(name)));
        let is_same = |group: &&mut Vec<Asking>| {
            let (_, first, _) = &group[0];
            let is_table = matches!((&first.subject, &aggregate.subject), (Subject::Rows, Subject::Rows));
            // Those that need a few days do not read all of them for the sake of the others.
            let is_as_long = days.contains_key(&group[0].0.name) == days.contains_key(name);
            is_table && is_as_long && first.table == aggregate.table && first.time == aggregate.time
        };
        match groups.iter_mut().find(is_same) {
            Some(group) => group.push(asking),
            None => groups.push(vec![asking]),
        }
    }
    let all = DayRanges::all();
    let days_of = |group: &Vec<Asking>| -> DayRanges {
        group.iter().map(|(kpi, ..)| days.get(&kpi.name).unwrap_or(&all).clone()).collect()
    };
    groups.iter().map(|group| pass(group, days_of(group))).collect()
}

/// Why an aggregate cannot be computed beside others, if it cannot.
pub fn why_not_fused(aggregate: &Aggregate) -> Option<&'static str> {
    match &aggregate.placement {
        Placement::Event => {}
        Placement::Window(_) if aggregate.is_made_of_days() => {}
        Placement::Window(_) => return Some("its windows do not add up from days"),
        Placement::Stock(_) => return Some("a level counts a row in many periods"),
        Placement::Boundaries(_) => return Some("it compares what is there at the start and at the end of a period"),
    }
    match &aggregate.subject {
        Subject::Rows | Subject::Conversions(_) | Subject::Funnel(_) => {}
        Subject::Entities(_) => return Some("it brings the rows of each entity together first"),
        Subject::Cohorts(_) => return Some("a cohort counts an entity at many ages"),
    }
    // Values that compare otherwise than their bits do.
    if aggregate.dimensions.values().any(|dimension| dimension.data_type.is_floating()) {
        return Some("a dimension holds floating-point numbers");
    }
    let is_measured = |measure: &Measure| can_be_measured(measure.function);
    match aggregate.measures.iter().all(is_measured) {
        true => None,
        false => Some("one of its functions is neither exact nor made of sums, counts, ends and values"),
    }
}

/// Whether groups of a pass keep what the function needs: its result where that adds up, or all values.
fn can_be_measured(function: MeasureFunction) -> bool {
    let needs_values = matches!(
        function,
        MeasureFunction::CountDistinct
            | MeasureFunction::Median
            | MeasureFunction::PercentileCont(_)
            | MeasureFunction::PercentileDisc(_)
    );
    function.adds_up() || needs_values
}

/// Whether what is known on an earlier day follows from the days up to it. An event that converts later had not, by then.
fn is_cut_by_days(aggregate: &Aggregate) -> bool {
    aggregate.is_made_of_days() && matches!(aggregate.subject, Subject::Rows)
}

/// The cells whose groups a KPI is made of.
fn asked(aggregate: &Aggregate, needed: &BTreeSet<Cell>, is_looked_back: bool) -> BTreeSet<Asked> {
    let mut asked = BTreeSet::new();
    for cell in needed {
        let dimensions: BTreeSet<String> = cell.dimensions.iter().cloned().collect();
        let is_window = matches!(aggregate.placement, Placement::Window(_));
        if is_window || (is_looked_back && is_cut_by_days(aggregate)) {
            asked.insert(Asked { grain: Grain::Day, dimensions: dimensions.clone() });
        }
        if !is_window {
            asked.insert(Asked { grain: cell.grain, dimensions });
        }
    }
    asked
}

fn pass(group: &[Asking], days: DayRanges) -> Pass {
    let (_, first, _) = &group[0];
    let mut pass = Pass {
        table: first.table.clone(),
        kpis: group.iter().map(|(kpi, ..)| kpi.name.clone()).collect(),
        days,
        rows: rows_of(group),
        dimensions: Vec::new(),
        cells: Vec::new(),
        measures: Vec::new(),
    };
    let mut cells: BTreeMap<&Asked, BTreeSet<usize>> = BTreeMap::new();
    for (_, aggregate, asked) in group {
        let mut positions = BTreeSet::new();
        for measure in pass.measures_of(aggregate) {
            let known = pass.position(&measure);
            positions.insert(known.unwrap_or(pass.measures.len()));
            if known.is_none() {
                pass.measures.push(measure);
            }
        }
        for cell in asked {
            cells.entry(cell).or_default().extend(&positions);
        }
    }
    let dimensions: BTreeSet<&String> = cells.keys().flat_map(|cell| &cell.dimensions).collect();
    pass.dimensions = dimensions.into_iter().cloned().collect();
    pass.cells = cells.into_iter().map(|(cell, measures)| (cell.clone(), measures)).collect();
    pass
}

fn rows_of(group: &[Asking]) -> Rows {
    let (_, first, _) = &group[0];
    if !matches!(first.subject, Subject::Rows) {
        return Rows::Own;
    }
    let mut joins: BTreeSet<JoinPath> =
        group.iter().flat_map(|(_, aggregate, _)| aggregate.joins.iter().cloned()).collect();
    let mut expressions = BTreeMap::new();
    for (_, aggregate, asked) in group {
        for name in asked.iter().flat_map(|cell| &cell.dimensions) {
            if let Some(dimension) = aggregate.dimensions.get(name) {
                joins.extend(dimension.joins.iter().cloned());
                expressions.entry(name.clone()).or_insert_with(|| dimension.expression.clone());
            }
        }
    }
    let is_common = group.iter().all(|(_, aggregate, _)| aggregate.condition == first.condition);
    Rows::Table {
        time: first.time.clone(),
        time_type: first.time_type.clone(),
        joins,
        expressions,
        condition: if is_common { first.condition.clone() } else { None },
    }
}

impl Pass {
    /// The scan: the groups of every cell.
    pub fn logical_plan(&self, model: &Model, until: NaiveDate) -> Result<LogicalPlan> {
        let bounds = Bounds { days: self.days.clone(), until };
        let calendar = &model.project.calendar;
        let (plan, day, dimensions, measures) = match &self.rows {
            Rows::Table { time, time_type, joins, expressions, condition } => {
                let plan = rows_within(model, &self.table, joins, (time, time_type), condition.as_ref(), &bounds)?;
                let dimensions = self.dimensions.iter().map(|name| expressions.get(name).cloned());
                (plan, day_of(time, time_type, calendar), dimensions.collect::<Option<Vec<_>>>(), self.measures.clone())
            }
            Rows::Own => {
                let kpi = &model.kpis[&self.kpis[0]];
                let aggregate = kpi.aggregate().ok_or_else(|| internal_datafusion_err!("a pass without a table"))?;
                let tables = TableLeaves { model, bounds, way: Way::Operators, rows: None };
                let counted = tables.rows(aggregate, self.dimensions.clone())?;
                let day = day_of(&counted.time, &counted.time_type, calendar);
                let dimensions = counted.keys.into_iter().map(|(_, key)| key).collect();
                // In its own words, what the shape put into its measures stands in them. The order is the same.
                let own = self.of_rows(&counted.measures);
                let known = self.positions_of(aggregate).unwrap_or_default();
                let written = (0..self.measures.len()).map(|index| {
                    let position = known.iter().position(|known| *known == index);
                    position.map(|position| own[position].clone())
                });
                let written: Option<Vec<PassMeasure>> = written.collect();
                let measures = written.ok_or_else(|| internal_datafusion_err!("a pass with a measure of nobody"))?;
                (counted.plan, day, Some(dimensions), measures)
            }
        };
        let dimensions = dimensions.ok_or_else(|| internal_datafusion_err!("a pass lacks a dimension"))?;

        // Every expression is computed once for each row.
        let mut computed = Computed { columns: vec![day.alias(DAY)], known: Vec::new() };
        let mut keys = Vec::new();
        for (name, dimension) in self.dimensions.iter().zip(&dimensions) {
            keys.push((name.clone(), column(&computed.column("dimension", dimension))));
        }
        let mut aggregates = Vec::new();
        for (index, measure) in measures.iter().enumerate() {
            let arguments = measure.arguments.iter().map(|argument| column(&computed.column("input", argument)));
            let arguments = arguments.collect();
            let filter = measure.filter.as_ref().map(|filter| column(&computed.column("filter", filter)));
            aggregates.push((measure_name(index), measure_expression(measure.function, arguments, filter)));
        }
        let plan = plan.project(computed.columns)?.build()?;
        let position = |name: &String| self.dimensions.iter().position(|known| known == name);
        let cells = self.cells.iter().map(|(cell, measures)| cube::Cell {
            grain: cell.grain,
            dimensions: cell.dimensions.iter().filter_map(position).collect(),
            measures: measures.clone(),
        });
        CubeNode::plan(plan, column(DAY), keys, aggregates, cells.collect(), calendar.clone())
    }

    /// The rows of this pass, apart for each cell.
    pub fn split(&self, schema: &SchemaRef, batches: Vec<RecordBatch>) -> Result<PassRows> {
        let mut cells: Vec<Vec<RecordBatch>> = self.cells.iter().map(|_| Vec::new()).collect();
        // Each batch holds rows of one cell.
        for batch in batches.into_iter().filter(|batch| batch.num_rows() > 0) {
            let marks =
                batch.column_by_name(CELL).ok_or_else(|| internal_datafusion_err!("a pass without `{CELL}`"))?;
            let cell = marks.as_primitive::<UInt32Type>().value(0) as usize;
            cells[cell].push(batch);
        }
        let table = |batches| -> Result<Arc<dyn TableProvider>> {
            Ok(Arc::new(MemTable::try_new(schema.clone(), vec![batches])?))
        };
        Ok(PassRows { cells: cells.into_iter().map(table).collect::<Result<_>>()? })
    }

    /// How many cells it gives.
    pub fn cells(&self) -> usize {
        self.cells.len()
    }

    /// How many aggregates it computes.
    pub fn measures(&self) -> usize {
        self.measures.len()
    }

    /// Two passes that hold less at once, where there is more than one KPI.
    pub fn halves(&self, model: &Model) -> Option<[Pass; 2]> {
        let (one, other) = self.kpis.split_at(self.kpis.len() / 2);
        if one.is_empty() {
            return None;
        }
        let half = |names: &[String]| -> Option<Pass> {
            let mut group: Vec<Asking> = Vec::new();
            for name in names {
                let kpi = model.kpis.get(name)?;
                let aggregate = kpi.aggregate()?;
                let own = self.positions_of(aggregate)?;
                let asked = self.cells.iter().filter(|(_, measures)| own.iter().all(|of| measures.contains(of)));
                group.push((kpi, aggregate, asked.map(|(cell, _)| cell.clone()).collect()));
            }
            Some(pass(&group, self.days.clone()))
        };
        Some([half(one)?, half(other)?])
    }

    /// Whether a request can be answered from this pass.
    fn answers(&self, aggregate: &Aggregate, request: &Request) -> bool {
        matches!(request.placement, Placement::Event) && (request.view.is_whole() || is_cut_by_days(aggregate))
    }

    /// A KPI's cell from the rows of this pass.
    fn leaf(
        &self,
        model: &Model,
        rows: &PassRows,
        aggregate: &Aggregate,
        request: &Request,
    ) -> Result<LogicalPlanBuilder> {
        let cell = request.cell;
        let is_whole = request.view.is_whole();
        let grain = if is_whole { cell.grain } else { Grain::Day };
        let asked = Asked { grain, dimensions: cell.dimensions.iter().cloned().collect() };
        let position = self.cells.iter().position(|(known, _)| *known == asked);
        let position = position.ok_or_else(|| internal_datafusion_err!("a pass lacks the cell {asked:?}"))?;
        let own = self.positions_of(aggregate);
        let own = own.ok_or_else(|| internal_datafusion_err!("a pass lacks a measure of the KPI"))?;
        let measures: Vec<(&Measure, Expr)> =
            aggregate.measures.iter().zip(own.iter().map(|index| column(&measure_name(*index)))).collect();
        let count = own.last().map(|index| column(&measure_name(*index)));
        let count = count.ok_or_else(|| internal_datafusion_err!("a pass without a number of rows"))?;

        let relation = TableReference::bare(format!("pass over {}", self.table));
        let plan = LogicalPlanBuilder::scan(relation, provider_as_source(rows.cells[position].clone()), None)?;
        // A group may have rows of other KPIs only.
        let mut plan = plan.filter(count.clone().gt(lit(0_i64)))?;
        let dimensions = cell.dimensions.iter().map(|name| column(name).alias(name));
        if is_whole {
            let mut columns = vec![column(PERIOD).alias(PERIOD_START)];
            columns.extend(dimensions);
            columns.extend(measures.into_iter().map(|(measure, part)| part.alias(&measure.name)));
            columns.push(count.alias(ROWS));
            let plan = plan.project(columns)?;
            return with_types_of(plan, &aggregate.measures, cell.dimensions.iter().map(String::as_str));
        }
        let day = |day| lit(ScalarValue::Date32(Some(to_epoch_days(day))));
        if let Some((first, last)) = request.view.days {
            plan = plan.filter(column(PERIOD).between(day(first), day(last)))?;
        }
        if let Some(until) = request.view.until {
            plan = plan.filter(column(PERIOD).lt_eq(day(until)))?;
        }
        let mut groups = vec![period_of(column(PERIOD), cell.grain, &model.project.calendar).alias(PERIOD_START)];
        groups.extend(dimensions);
        let wholes = measures.into_iter().map(|(measure, part)| rolled_up(measure.function, part).alias(&measure.name));
        let wholes = wholes.chain([rolled_up(MeasureFunction::Count, count).alias(ROWS)]);
        let plan = plan.aggregate(groups, wholes.collect::<Vec<_>>())?;
        with_types_of(plan, &aggregate.measures, cell.dimensions.iter().map(String::as_str))
    }

    /// Where the measures of a KPI stand among those of the pass, the number of its rows last.
    fn positions_of(&self, aggregate: &Aggregate) -> Option<Vec<usize>> {
        self.measures_of(aggregate).iter().map(|measure| self.position(measure)).collect()
    }

    fn position(&self, measure: &PassMeasure) -> Option<usize> {
        self.measures.iter().position(|known| known == measure)
    }

    /// The measures of a KPI as this pass computes them, in the KPI's order, the number of its rows last.
    fn measures_of(&self, aggregate: &Aggregate) -> Vec<PassMeasure> {
        let own = match &self.rows {
            Rows::Table { condition: None, .. } => aggregate.condition.as_ref(),
            Rows::Table { .. } | Rows::Own => None,
        };
        let filter = |filter: Option<&Expr>| own.into_iter().chain(filter).cloned().reduce(Expr::and);
        let mut measures = self.of_rows(&aggregate.measures);
        measures.iter_mut().for_each(|measure| measure.filter = filter(measure.filter.as_ref()));
        measures
    }

    /// Measures as their KPI has them, and the number of rows.
    fn of_rows(&self, measures: &[Measure]) -> Vec<PassMeasure> {
        let measures = measures.iter().map(|measure| PassMeasure {
            function: measure.function,
            arguments: measure.arguments.clone(),
            filter: measure.filter.clone(),
        });
        let rows = PassMeasure { function: MeasureFunction::Count, arguments: Vec::new(), filter: None };
        measures.chain([rows]).collect()
    }
}

// A name that no dimension can have.
const DAY: &str = "#day";

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
#[derive(Clone, Copy)]
pub struct FusedLeaves<'a> {
    pub model: &'a Model,
    /// Each pass with the rows that it gave.
    pub passes: &'a [(Pass, PassRows)],
    /// Rows that were made for those outside.
    pub rows: &'a [KeptRows],
    /// The days whose rows they need; of those that are missing, all.
    pub days: &'a BTreeMap<String, DayRanges>,
    pub until: NaiveDate,
    /// What the plans of those outside are made of.
    pub way: Way,
}

impl<'a> FusedLeaves<'a> {
    /// The tables themselves, or rows in their place, as a KPI outside all passes reads them.
    fn tables(&self, kpi: &Kpi, rows: Option<Arc<dyn TableProvider>>) -> TableLeaves<'a> {
        let days = self.days.get(&kpi.name).cloned().unwrap_or_else(DayRanges::all);
        TableLeaves { model: self.model, bounds: Bounds { days, until: self.until }, way: self.way, rows }
    }

    /// Whether a KPI looks at few rows only: those of a pass, or others that are few.
    pub fn is_small(&self, kpi: &Kpi) -> bool {
        const FEW: usize = 50_000;
        match &kpi.shape {
            Shape::Aggregate(aggregate) => {
                // As they were earlier, such windows are read from the table.
                let reads_again = matches!(aggregate.placement, Placement::Window(_)) && !is_cut_by_days(aggregate);
                let is_few = |rows: &KeptRows| rows.aggregates.contains_key(&kpi.name) && rows.count <= FEW;
                let is_fused = self.passes.iter().any(|(pass, _)| pass.kpis.contains(&kpi.name));
                (is_fused && !reads_again) || self.rows.iter().any(is_few)
            }
            Shape::Arithmetic(_) | Shape::Composite(_) => true,
            Shape::Query(_) => false,
        }
    }
}

/// What a pass found: the rows of each of its cells.
#[derive(Debug, Clone)]
pub struct PassRows {
    cells: Vec<Arc<dyn TableProvider>>,
}

impl Leaves for FusedLeaves<'_> {
    fn way(&self) -> Way {
        self.way
    }

    fn leaf(&self, kpi: &Kpi, aggregate: &Aggregate, request: &Request) -> Result<LogicalPlanBuilder> {
        match self.passes.iter().find(|(pass, _)| pass.kpis.contains(&kpi.name)) {
            Some((pass, rows)) if pass.answers(aggregate, request) => pass.leaf(self.model, rows, aggregate, request),
            _ => match self.rows.iter().find_map(|rows| Some((rows, rows.aggregates.get(&kpi.name)?))) {
                Some((rows, over)) => {
                    let tables = self.tables(kpi, Some(rows.provider.clone()));
                    // The request is that of the KPI; where rows leave is said over these rows.
                    let is_own = *request.placement == aggregate.placement;
                    let placement = if is_own { &over.placement } else { request.placement };
                    tables.leaf(kpi, over, &Request { placement, ..*request })
                }
                None => self.tables(kpi, None).leaf(kpi, aggregate, request),
            },
        }
    }
}
