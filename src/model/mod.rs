//! What is meant: names resolved, expressions typed against the real schemas, dependencies ordered.
//!
//! Whoever holds a [`Kpi`] need not check anything again. Only `validate` makes these values; they know no files of
//! definitions and no places in them.

mod purpose;
mod testing;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{Days, Months, NaiveDate};
use datafusion::arrow::array::StringArray;
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::TreeNode;
use datafusion::functions_aggregate::approx_percentile_cont::approx_percentile_cont_udaf;
use datafusion::functions_aggregate::expr_fn::{
    approx_distinct, approx_median, corr, count, count_distinct, max, min, stddev, stddev_pop, sum, var_pop, var_sample,
};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{AggregateUDF, BinaryExpr, Expr, LogicalPlan, Operator, lit};

use crate::catalog::{CsvOptions, Periods, Source, is_code};
use crate::error::Result;
use crate::functions;
use crate::location::Location;
use crate::time::{Calendar, Grain};

pub use purpose::{Benchmark, Objective, with_larger};
pub use testing::{
    Assertion, DataTest, ExpectedRow, Freshness, GivenTest, Place, Rule, SkippedTest, TableTests, TestSeverity, Tests,
};

/// Everything that can run, and what was left out and why.
#[derive(Debug, Clone)]
pub struct Model {
    pub project: Project,
    pub objectives: BTreeMap<String, Objective>,
    pub tables: BTreeMap<String, Arc<Table>>,
    /// Every KPI by name, also those variants that others are made of.
    pub kpis: BTreeMap<String, Arc<Kpi>>,
    /// KPI names, inputs before the KPIs that use them.
    pub order: Vec<String>,
    /// KPIs whose tables have no data, or lack columns.
    pub skipped: Vec<Skipped>,
    /// Breakdowns that are left out for want of columns, by KPI.
    pub left_out: BTreeMap<String, Vec<LeftOut>>,
    /// Tables that lack files or columns.
    pub lacking: BTreeMap<String, Lacks>,
    /// The calendar as a table.
    pub periods: Arc<Periods>,
    pub tests: Tests,
}

impl Model {
    /// The objective that a KPI names, and all that this one is a part of.
    pub fn objectives_of<'a>(&'a self, kpi: &'a Kpi) -> Vec<&'a str> {
        kpi.objective.as_ref().map(|name| with_larger(&self.objectives, name)).unwrap_or_default()
    }

    /// The KPIs that have a definition of their own and are to be seen, by name.
    pub fn defined(&self) -> impl Iterator<Item = &Arc<Kpi>> {
        self.kpis.values().filter(|kpi| kpi.variant_of.is_none() && !kpi.is_hidden)
    }
}

/// A KPI that cannot run because a table has no data, or lacks columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    pub kpi: String,
    pub reason: String,
    /// What would have to be there, by table; empty where the definitions do not tell.
    pub needs: BTreeMap<String, Need>,
    /// What it reads, that which is lacking among it; empty where the definitions do not tell.
    pub reads: Reads,
}

/// A breakdown that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    pub dimensions: Vec<String>,
    pub reason: String,
    pub needs: BTreeMap<String, Need>,
}

/// What a table would have to have for a KPI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// Whether it has no files at all.
    pub is_absent: bool,
    /// The columns that are lacking, as the files should name them.
    pub columns: BTreeSet<String>,
}

/// What holds for the whole project.
#[derive(Debug, Clone)]
pub struct Project {
    pub name: String,
    pub description: Option<String>,
    pub calendar: Calendar,
    pub currency: Option<String>,
    /// Whether all that its document says was understood; else nobody knows where data and results are meant to lie.
    pub is_sound: bool,
    /// The folder that its document stands in.
    pub folder: PathBuf,
    /// Where relative sources start.
    pub data: Location,
    /// Where results are published.
    pub output: Location,
    /// Where sources may lie beside `data`.
    pub allowed_locations: Vec<Location>,
}

impl Project {
    /// The place that a source names. Where the data lies in an object store, `/a`, `./a` and `../a` are paths of this
    /// machine, from the folder of the project's document.
    ///
    /// # Errors
    /// `Config` where it names none.
    pub fn locate(&self, source: &str) -> Result<Location> {
        let is_path = ["/", "./", "../"].iter().any(|beginning| source.starts_with(beginning));
        let location = match &self.data {
            Location::Remote(_) if is_path => Location::parse(source, &Location::Local(self.folder.clone()))?,
            data => Location::parse(source, data)?,
        };
        Ok(match &location {
            // What lies elsewhere is named as a whole, so that a record of it can be read again.
            Location::Local(path) if location.below(&self.data).is_none() => {
                Location::Local(std::path::absolute(path).unwrap_or_else(|_| path.clone()))
            }
            _ => location,
        })
    }

    /// Whether tables may read a place.
    pub fn allows(&self, location: &Location) -> bool {
        [&self.data].into_iter().chain(&self.allowed_locations).any(|around| location.below(around).is_some())
    }
}

/// A table with data: cleaned, typed, and with the standard filter applied.
#[derive(Debug, Clone)]
pub struct Table {
    pub name: String,
    /// The rows that exist for KPIs.
    pub plan: Arc<LogicalPlan>,
    pub schema: SchemaRef,
    pub primary_key: Vec<String>,
    /// The column of its own that places its rows in time, where its definition names one.
    pub time: Option<String>,
    pub joins: BTreeMap<String, Join>,
    /// The column whose largest value says how far the data reaches.
    pub freshness: Option<String>,
    /// The same, where the files lack it: then nobody knows.
    pub lacking_freshness: Option<String>,
    /// For how many days rows of a day may still come.
    pub lateness: Days,
    pub origin: Origin,
    /// What every look at its rows reads: its standard filter, or all that its query does.
    pub reads: Reads,
    /// What those columns of a query read that cannot be read, as files lack something that they are made of.
    pub lacking_reads: BTreeMap<String, Reads>,
    /// What its definition knows and the files do not have.
    pub lacks: Lacks,
    /// The definition in words that change when the meaning does; part of the KPIs' fingerprints.
    pub fingerprint: String,
}

impl Table {
    /// Whether it counts as one without rows, since there are no files.
    pub fn is_taken_for_empty(&self) -> bool {
        match &self.origin {
            Origin::Files { opened, .. } => opened.files.is_empty() && self.lacks.files.is_none(),
            Origin::Query { .. } => false,
        }
    }

    /// Whether a column is defined and cannot be read.
    pub fn lacks(&self, column: &str) -> bool {
        self.lacks.columns.contains_key(column) || self.lacking_reads.contains_key(column)
    }
}

/// Columns of tables from files, by table.
pub type Reads = BTreeMap<String, BTreeSet<String>>;

/// What a table's definition knows and its files do not have. Nothing that needs it is in a model that can run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lacks {
    /// Why there are no files, where there are none.
    pub files: Option<String>,
    /// Columns, with the names that the files should have for them.
    pub columns: BTreeMap<String, BTreeSet<String>>,
}

/// Where the rows of a table come from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// Files, as `source` names them.
    Files {
        source: String,
        opened: Arc<Source>,
        csv: CsvOptions,
        /// Columns that are text in the files and another type in the table.
        texts: Vec<TypedText>,
    },
    /// A query over other tables.
    Query { tables: BTreeSet<String> },
}

/// A column that is text in the files and is read as another type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedText {
    /// As the files name it.
    pub column: String,
    pub data_type: DataType,
    pub format: Option<String>,
    /// The type in the language's own words.
    pub name: String,
    /// Whether the type is only what the first values look like.
    pub is_guess: bool,
}

impl TypedText {
    /// Whether a text can be read as the type.
    pub fn fits(&self, text: &str) -> bool {
        if let Some(format) = &self.format {
            return match self.data_type {
                DataType::Date32 => NaiveDate::parse_from_str(text, format).is_ok(),
                _ => {
                    chrono::NaiveDateTime::parse_from_str(text, format).is_ok()
                        || chrono::DateTime::parse_from_str(text, format).is_ok()
                        || NaiveDate::parse_from_str(text, format).is_ok()
                }
            };
        }
        if self.is_guess && self.data_type == DataType::Int64 && is_code(text) {
            return false;
        }
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        cast_with_options(&StringArray::from(vec![text]), &self.data_type, &strict).is_ok()
    }
}

/// A many-to-one join: to the primary key of another table, or to the row of a history that was valid at the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    pub table: String,
    /// Column here, column there.
    pub on: Vec<(String, String)>,
    pub valid: Option<Validity>,
}

/// The columns of a history table that say from when and until when a row is valid: both dates or both timestamps. The end
/// itself is not part of it; a row without an end is still valid.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Validity {
    pub from: String,
    pub to: String,
}

/// What the files of a table are called in plans, before its definition makes rows of them.
pub fn files_relation(table: &str) -> String {
    format!("{FILES_OF}{table}")
}

/// The table whose files a relation holds.
pub fn table_of_files(relation: &str) -> Option<&str> {
    relation.strip_prefix(FILES_OF)
}

const FILES_OF: &str = "files of ";

/// The names of the joins from a base table to another one, such as `[owner, manager]`.
pub type JoinPath = Vec<String>;

/// The name under which the rows behind a join path stand in a query.
pub fn join_alias(path: &[String]) -> String {
    path.join("_")
}

/// One KPI, ready to compile.
#[derive(Debug, Clone)]
pub struct Kpi {
    pub name: String,
    pub label: String,
    pub description: Option<String>,
    pub formula: Option<String>,
    /// The common mistake that the definition avoids.
    pub avoids: Option<String>,
    pub unit: Option<String>,
    pub better: Better,
    pub owner: Option<String>,
    /// How often it is looked at: by day where that is daily.
    pub review: Option<Grain>,
    /// The name of the objective that it serves; where a project has no objectives, words.
    pub objective: Option<String>,
    /// What somebody decides when it moves.
    pub decides: Option<String>,
    /// The KPIs that must not suffer while this one improves.
    pub guardrails: Vec<String>,
    pub tags: Vec<String>,
    /// The file that defines it and the line, counted from 1, for people.
    pub file: PathBuf,
    pub line: usize,
    pub shape: Shape,
    /// What it is broken down by, overall (the empty set) first unless it must not be asked without dimensions.
    pub dimension_sets: Vec<Vec<String>>,
    pub required_dimensions: Vec<String>,
    pub grains: Vec<Grain>,
    /// The finest grain at which its value says something, where the definition names one.
    pub minimum_grain: Option<Grain>,
    pub target: Option<Target>,
    /// What others reach. Nothing is judged by it.
    pub benchmarks: Vec<Benchmark>,
    pub minimum_n: Option<u64>,
    /// How long after a period its value is only preliminary.
    pub ripens: Option<Within>,
    /// The finest grain at which it can be read, where that is not the day: its own minimum, or that of what it is made of.
    pub finest: Option<Grain>,
    pub value_type: DataType,
    /// The KPI that it is a variant of, where it is only a part of others: narrowed, or over a window.
    pub variant_of: Option<String>,
    /// Whether it is there for other KPIs only, and neither listed nor run by itself.
    pub is_hidden: bool,
    /// Whether it is the included catalogue's, as it is.
    pub is_included: bool,
    /// What its value reads, down to the files; breakdowns may read more.
    pub reads: Reads,
    /// Changes when the value may: the definition, those of its tables and inputs, and the calendar.
    pub fingerprint: String,
}

impl Kpi {
    /// The KPIs that this one is computed from, or judged by.
    pub fn inputs(&self) -> BTreeSet<&str> {
        let mut inputs = self.value_inputs();
        if let Some(Target { goal: Goal::Kpi { kpi, .. }, .. }) = &self.target {
            inputs.insert(kpi);
        }
        inputs
    }

    /// The KPIs that its value is computed from.
    pub fn value_inputs(&self) -> BTreeSet<&str> {
        match &self.shape {
            Shape::Aggregate(_) | Shape::Query(_) => BTreeSet::new(),
            Shape::Arithmetic(arithmetic) => arithmetic.inputs.iter().map(|input| input.kpi.as_str()).collect(),
            Shape::Composite(composite) => composite.parts.iter().map(|part| part.kpi.as_str()).collect(),
        }
    }

    /// The columns that it stores beside its value: the aggregates that it is computed from, or the parts of an index.
    pub fn stored(&self) -> Vec<(String, DataType)> {
        match &self.shape {
            Shape::Aggregate(aggregate) => {
                aggregate.measures.iter().map(|measure| (measure.name.clone(), measure.data_type.clone())).collect()
            }
            Shape::Composite(composite) => {
                composite.parts.iter().map(|part| (part.attainment_name(), DataType::Float64)).collect()
            }
            Shape::Arithmetic(_) | Shape::Query(_) => Vec::new(),
        }
    }

    /// How the rows of its table are aggregated, where it has one.
    pub fn aggregate(&self) -> Option<&Aggregate> {
        match &self.shape {
            Shape::Aggregate(aggregate) => Some(aggregate),
            Shape::Arithmetic(_) | Shape::Composite(_) | Shape::Query(_) => None,
        }
    }
}

/// The dimensions that were prepared for a KPI, or for one that it is computed from.
pub fn known_dimensions<'a>(
    kpis: &'a BTreeMap<String, Arc<Kpi>>,
    kpi: &'a Kpi,
) -> Option<&'a BTreeMap<String, Dimension>> {
    match &kpi.shape {
        Shape::Aggregate(aggregate) => Some(&aggregate.dimensions),
        Shape::Query(query) => Some(&query.dimensions),
        Shape::Arithmetic(arithmetic) => {
            // A total may lack them.
            let input = arithmetic.inputs.iter().find(|input| !input.is_total)?;
            known_dimensions(kpis, kpis.get(&input.kpi)?)
        }
        Shape::Composite(composite) => known_dimensions(kpis, kpis.get(&composite.parts.first()?.kpi)?),
    }
}

/// The KPIs named and all that stand below them.
pub fn below<'a>(model: &'a Model, kpis: &BTreeSet<String>) -> Vec<&'a Kpi> {
    let mut found: BTreeSet<&str> = BTreeSet::new();
    for name in model.order.iter().rev() {
        if kpis.contains(name) || found.contains(name.as_str()) {
            found.insert(name);
            found.extend(model.kpis[name].inputs());
        }
    }
    model.order.iter().filter(|name| found.contains(name.as_str())).map(|name| model.kpis[name].as_ref()).collect()
}

/// Whether a KPI can be asked for a set of dimensions: it has each of them, and all that it must not be asked without.
pub fn can_be_asked(model: &Model, kpi: &Kpi, dimensions: &[String]) -> bool {
    let has_all = match &kpi.shape {
        Shape::Aggregate(aggregate) => dimensions.iter().all(|name| aggregate.dimensions.contains_key(name)),
        Shape::Query(query) => query.is_prepared_for(dimensions),
        Shape::Arithmetic(arithmetic) => {
            let inputs = arithmetic.inputs.iter().filter(|input| !input.is_total);
            inputs
                .into_iter()
                .all(|input| model.kpis.get(&input.kpi).is_some_and(|input| can_be_asked(model, input, dimensions)))
        }
        Shape::Composite(composite) => composite
            .parts
            .iter()
            .all(|part| model.kpis.get(&part.kpi).is_some_and(|part| can_be_asked(model, part, dimensions))),
    };
    has_all && kpi.required_dimensions.iter().all(|name| dimensions.contains(name))
}

/// How a KPI is computed. A new shape is a variant here, its rules in `validate` and a file in `compile`.
#[derive(Debug, Clone)]
pub enum Shape {
    Aggregate(Box<Aggregate>),
    Arithmetic(Arithmetic),
    Composite(Composite),
    Query(Box<Query>),
}

/// Aggregates of one table, and arithmetic over them.
#[derive(Debug, Clone)]
pub struct Aggregate {
    pub table: String,
    /// The date or timestamp that places a row in a period; of a level, that from which on the row counts.
    pub time: Expr,
    pub time_type: DataType,
    /// As the definition names it.
    pub time_name: String,
    /// Joins that the time, the filter and the measures need.
    pub joins: BTreeSet<JoinPath>,
    pub condition: Option<Expr>,
    pub placement: Placement,
    pub subject: Subject,
    pub measures: Vec<Measure>,
    pub value: Value,
    /// Every dimension in `dimension_sets`, by name.
    pub dimensions: BTreeMap<String, Dimension>,
    /// Covered periods without rows are 0.
    pub fill_zero: bool,
}

impl Aggregate {
    /// Whether its rows can be added up by day, and periods and windows made of days.
    pub fn is_made_of_days(&self) -> bool {
        let is_of_rows = matches!(self.subject, Subject::Rows | Subject::Conversions(_));
        let is_placed_once = matches!(self.placement, Placement::Event | Placement::Window(_));
        is_of_rows && is_placed_once && self.measures.iter().all(|measure| measure.function.adds_up())
    }
}

impl Aggregate {
    /// Whether its query needs a name for itself, so that no dimension can have it.
    pub fn takes(&self, name: &str) -> bool {
        let of_entities = match &self.subject {
            Subject::Entities(entities) => Some(entities),
            Subject::Cohorts(cohorts) => Some(&cohorts.entities),
            Subject::Rows | Subject::Conversions(_) | Subject::Funnel(_) => None,
        };
        let of_shape: &[&str] = match (&self.subject, &self.placement) {
            (Subject::Cohorts(_), _) => &[ACTIVE],
            (_, Placement::Boundaries(_)) => &[OPENING, CLOSING],
            _ => &[],
        };
        of_shape.contains(&name)
            || self.measures.iter().any(|measure| measure.name == name)
            || of_entities.is_some_and(|entities| {
                entities.keys.iter().any(|(key, _)| key == name)
                    || entities.columns.iter().any(|computed| computed.name == name)
                    || entities.measures.iter().any(|measure| measure.name == name)
            })
    }
}

/// In which periods a row counts.
#[derive(Debug, Clone, PartialEq)]
pub enum Placement {
    /// In the one that its time lies in.
    Event,
    /// In every one whose window holds its time.
    Window(Window),
    /// In every one at whose end, or start, it is there.
    Stock(Stock),
    /// In every one at whose start or end it is there; entities are compared between both.
    Boundaries(Stock),
}

/// The days that a window holds. It ends with the period, or with the last day that is known of an open one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// So long.
    Trailing(Length),
    /// From the beginning of the data.
    All,
    /// From the start of the period of this grain.
    ToDate(Grain),
}

/// When a row is there: from its time, up to and without the day of `to`.
#[derive(Debug, Clone, PartialEq)]
pub struct Stock {
    /// NULL, or nothing, as long as the row is there.
    pub to: Option<(Expr, DataType)>,
    pub at: At,
}

/// Where in a period a level is read.
pub use crate::spec::At;

/// What is aggregated: the rows, or what is made of them first.
#[derive(Debug, Clone)]
pub enum Subject {
    Rows,
    Entities(Entities),
    Conversions(Box<Conversions>),
    Funnel(Funnel),
    Cohorts(Cohorts),
}

impl Subject {
    /// The aggregates that it makes before those of the value.
    pub fn measures(&self) -> &[Measure] {
        match self {
            Subject::Rows | Subject::Funnel(_) => &[],
            Subject::Entities(entities) => &entities.measures,
            Subject::Conversions(conversions) => &conversions.measures,
            Subject::Cohorts(cohorts) => &cohorts.entities.measures,
        }
    }
}

/// The rows of each entity brought together, one row for each entity and member.
#[derive(Debug, Clone)]
pub struct Entities {
    /// What tells them apart, under their column names. Rows without one belong to nobody.
    pub keys: Vec<(String, Expr)>,
    pub measures: Vec<Measure>,
    /// Arithmetic over the measures.
    pub columns: Vec<ComputedColumn>,
}

/// A named expression over measures.
#[derive(Debug, Clone)]
pub struct ComputedColumn {
    pub name: String,
    pub expression: Expr,
    pub data_type: DataType,
}

/// The columns that tell whether an entity is there at the start and at the end of a period.
pub const OPENING: &str = "opening";
pub const CLOSING: &str = "closing";

/// The name of an entity's column as it was at one end of the period.
pub fn boundary_column(boundary: &str, column: &str) -> String {
    format!("{boundary}.{column}")
}

/// Base events with what followed them: each conversion belongs to the last base event of its entity before it.
#[derive(Debug, Clone)]
pub struct Conversions {
    pub base_time: Expr,
    pub base_time_type: DataType,
    pub base_entity: Expr,
    /// Columns of the base table that put events of the same time in order.
    pub base_key: Vec<String>,
    pub table: String,
    pub joins: BTreeSet<JoinPath>,
    pub time: Expr,
    pub time_type: DataType,
    pub condition: Option<Expr>,
    pub entity: Expr,
    pub within: Within,
    /// What is computed over the conversions of a base event.
    pub measures: Vec<Measure>,
    pub columns: Vec<ComputedColumn>,
}

impl Conversions {
    /// Whether events are put in order by their days: one side knows no more.
    pub fn is_by_day(&self) -> bool {
        let is_instant = |data_type: &DataType| matches!(data_type, DataType::Timestamp(_, _));
        !(is_instant(&self.time_type) && is_instant(&self.base_time_type))
    }

    /// The type of the time that events are put in order by.
    pub fn order_type(&self) -> DataType {
        if self.is_by_day() { DataType::Date32 } else { functions::utc_timestamp() }
    }
}

/// The relation that holds a base event's conversions, and the column for the time of the first one.
pub const CONVERSION: &str = "conversion";
pub const CONVERSION_TIME: &str = "time";

/// Rows once for each step of a funnel that they could take.
#[derive(Debug, Clone)]
pub struct Funnel {
    /// The steps in order. A row has reached one if it satisfies its condition or that of a later one.
    pub steps: Vec<(String, Option<Expr>)>,
}

/// The relation of a funnel's steps, its dimension, and the column that says whether a row took the step.
pub const STEPS: &str = "steps";
pub const STEP: &str = "step";
pub const REACHED: &str = "reached";

/// Entities once for each age, counted from the period in which they first appeared.
#[derive(Debug, Clone)]
pub struct Cohorts {
    pub entities: Entities,
    pub by: Grain,
    /// The highest age.
    pub ages: i64,
}

/// The relation of a cohort's ages, its dimension, and the column that says whether an entity has rows at that age.
pub const AGES: &str = "ages";
pub const AGE: &str = "age";
pub const ACTIVE: &str = "active";

/// What a KPI may be broken down by.
#[derive(Debug, Clone)]
pub struct Dimension {
    pub expression: Expr,
    pub data_type: DataType,
    pub joins: BTreeSet<JoinPath>,
}

/// One aggregate inside a value, stored beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    /// A column name, unique in the KPI.
    pub name: String,
    pub function: MeasureFunction,
    /// None for `count(*)`, two for a correlation.
    pub arguments: Vec<Expr>,
    pub filter: Option<Expr>,
    pub data_type: DataType,
}

/// The aggregate functions that a value may use. An average is a sum and a count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MeasureFunction {
    Sum,
    Count,
    CountDistinct,
    Min,
    Max,
    Median,
    /// Between two values where need be.
    PercentileCont(Percentile),
    /// One of the values.
    PercentileDisc(Percentile),
    StddevSamp,
    StddevPop,
    VarSamp,
    VarPop,
    Correlation,
    ApproxDistinct,
    ApproxMedian,
    ApproxPercentileCont(Percentile),
}

/// The part of the values, between 0 and 1, up to which a percentile reaches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percentile {
    pub at: f64,
    /// Counted from the greatest value on.
    pub is_descending: bool,
}

impl MeasureFunction {
    /// Whether the result over parts follows from the results of the parts.
    pub fn adds_up(self) -> bool {
        match self {
            MeasureFunction::Sum | MeasureFunction::Count | MeasureFunction::Min | MeasureFunction::Max => true,
            MeasureFunction::CountDistinct
            | MeasureFunction::Median
            | MeasureFunction::PercentileCont(_)
            | MeasureFunction::PercentileDisc(_)
            | MeasureFunction::StddevSamp
            | MeasureFunction::StddevPop
            | MeasureFunction::VarSamp
            | MeasureFunction::VarPop
            | MeasureFunction::Correlation
            | MeasureFunction::ApproxDistinct
            | MeasureFunction::ApproxMedian
            | MeasureFunction::ApproxPercentileCont(_) => false,
        }
    }

    /// Whether nothing at all is 0 of it, where `fill: zero` says that nothing is meant. It grows with the rows then. The
    /// largest of nothing is not 0, nor is its median.
    pub fn is_zero_of_nothing(self) -> bool {
        match self {
            MeasureFunction::Sum
            | MeasureFunction::Count
            | MeasureFunction::CountDistinct
            | MeasureFunction::ApproxDistinct => true,
            MeasureFunction::Min
            | MeasureFunction::Max
            | MeasureFunction::Median
            | MeasureFunction::PercentileCont(_)
            | MeasureFunction::PercentileDisc(_)
            | MeasureFunction::StddevSamp
            | MeasureFunction::StddevPop
            | MeasureFunction::VarSamp
            | MeasureFunction::VarPop
            | MeasureFunction::Correlation
            | MeasureFunction::ApproxMedian
            | MeasureFunction::ApproxPercentileCont(_) => false,
        }
    }

    /// Whether it is 0 where no row is counted.
    pub fn is_count(self) -> bool {
        matches!(self, MeasureFunction::Count | MeasureFunction::CountDistinct | MeasureFunction::ApproxDistinct)
    }

    /// Whether the result is only near the true one.
    pub fn is_approximate(self) -> bool {
        matches!(
            self,
            MeasureFunction::ApproxDistinct | MeasureFunction::ApproxMedian | MeasureFunction::ApproxPercentileCont(_)
        )
    }
}

/// Whether a value is only near the true one, since its definition or one below it names an approximate function.
pub fn is_approximate(model: &Model, kpi: &str) -> bool {
    let is_approximate = |measure: &Measure| measure.function.is_approximate();
    below(model, &BTreeSet::from([kpi.to_owned()])).into_iter().any(|kpi| {
        let aggregate = kpi.aggregate();
        aggregate
            .is_some_and(|aggregate| aggregate.measures.iter().chain(aggregate.subject.measures()).any(is_approximate))
    })
}

/// Whether a value does not grow with the number of rows: it divides, or holds only least, greatest and middle values.
pub fn is_rate(model: &Model, kpi: &Kpi) -> bool {
    let (value, is_rate_below) = match &kpi.shape {
        Shape::Composite(_) => return true,
        // What a query does nobody knows; one that names both sides of a ratio is one.
        Shape::Query(query) => return query.has_ratio,
        Shape::Aggregate(aggregate) => {
            let is_level_of_values = |measure: &Measure| !measure.function.is_zero_of_nothing();
            (&aggregate.value, aggregate.measures.iter().all(is_level_of_values))
        }
        Shape::Arithmetic(arithmetic) => {
            let mut inputs = kpi.value_inputs().into_iter().filter_map(|input| model.kpis.get(input));
            (&arithmetic.value, inputs.all(|input| is_rate(model, input)))
        }
    };
    // A constant below the line only changes the unit.
    let divides = value.expression.exists(|node| {
        Ok(match node {
            Expr::BinaryExpr(BinaryExpr { op: Operator::Divide, right, .. }) => !right.column_refs().is_empty(),
            _ => false,
        })
    });
    is_rate_below || divides.unwrap_or(false)
}

/// The aggregate function of a measure.
pub fn measure_expression(function: MeasureFunction, arguments: Vec<Expr>, filter: Option<Expr>) -> Expr {
    let mut arguments = arguments.into_iter();
    let argument = arguments.next().unwrap_or_else(|| lit(1_i64));
    let call = match function {
        MeasureFunction::Sum => sum(argument),
        MeasureFunction::Count => count(argument),
        MeasureFunction::CountDistinct => count_distinct(argument),
        MeasureFunction::Min => min(argument),
        MeasureFunction::Max => max(argument),
        MeasureFunction::Median => functions::median().call(vec![argument]),
        MeasureFunction::PercentileCont(percentile) => within_group(functions::percentile_cont(), argument, percentile),
        MeasureFunction::PercentileDisc(percentile) => within_group(functions::percentile_disc(), argument, percentile),
        MeasureFunction::StddevSamp => stddev(argument),
        MeasureFunction::StddevPop => stddev_pop(argument),
        MeasureFunction::VarSamp => var_sample(argument),
        MeasureFunction::VarPop => var_pop(argument),
        MeasureFunction::Correlation => corr(argument, arguments.next().unwrap_or_else(|| lit(ScalarValue::Null))),
        MeasureFunction::ApproxDistinct => approx_distinct(argument),
        MeasureFunction::ApproxMedian => approx_median(argument),
        MeasureFunction::ApproxPercentileCont(Percentile { at, is_descending }) => {
            // Without an order of its own, for which DataFusion would sort all rows.
            let at = if is_descending { 1.0 - at } else { at };
            approx_percentile_cont_udaf().call(vec![argument, lit(at)])
        }
    };
    match (call, filter) {
        (Expr::AggregateFunction(AggregateFunction { func, mut params }), Some(filter)) => {
            params.filter = Some(Box::new(filter));
            Expr::AggregateFunction(AggregateFunction { func, params })
        }
        (call, _) => call,
    }
}

fn within_group(function: Arc<AggregateUDF>, argument: Expr, percentile: Percentile) -> Expr {
    let order = vec![argument.clone().sort(!percentile.is_descending, false)];
    let arguments = vec![argument, lit(percentile.at)];
    Expr::AggregateFunction(AggregateFunction::new_udf(function, arguments, false, None, order, None))
}

/// The first day of the period.
pub const PERIOD_START: &str = "period_start";
/// The day behind the last one of the period.
pub const PERIOD_END: &str = "period_end";
/// The value itself.
pub const VALUE: &str = "value";
/// Both sides of a value that is a ratio.
pub const NUMERATOR: &str = "numerator";
pub const DENOMINATOR: &str = "denominator";
/// How many observations stand behind a value.
pub const OBSERVATIONS: &str = "n";

/// The column that counts the rows behind a value, in every query of an aggregate.
pub const ROWS: &str = "rows";

/// The column that counts the observations behind an input of arithmetic.
pub fn input_rows(input: &str) -> String {
    format!("{input} {ROWS}")
}

/// Arithmetic over the columns of measures or inputs.
#[derive(Debug, Clone)]
pub struct Value {
    pub expression: Expr,
    /// Both sides, where the outermost operation is a division.
    pub ratio: Option<(Expr, Expr)>,
    /// The number of observations: the denominator where that is a count, else the rows.
    pub observations: Expr,
}

/// Arithmetic over other KPIs.
#[derive(Debug, Clone)]
pub struct Arithmetic {
    pub inputs: Vec<Input>,
    pub value: Value,
}

/// An index over the attainments of other KPIs' targets.
#[derive(Debug, Clone)]
pub struct Composite {
    pub parts: Vec<Part>,
}

/// One KPI of an index.
#[derive(Debug, Clone)]
pub struct Part {
    pub kpi: String,
    pub weight: f64,
    /// The least value that the KPI can have.
    pub floor: f64,
}

impl Part {
    /// The column that holds how far it has come.
    pub fn attainment_name(&self) -> String {
        format!("attainment_{}", self.kpi)
    }
}

/// A KPI that is one query, which places its rows in periods by the engine's word.
#[derive(Debug, Clone)]
pub struct Query {
    /// The tables that it reads.
    pub tables: BTreeSet<String>,
    /// The dimensions that it has, and their types.
    pub dimensions: BTreeMap<String, Dimension>,
    /// The query for each grain and each set of dimensions, over the tables' rows and over their names.
    pub plans: BTreeMap<(Grain, BTreeSet<String>), QueryPlans>,
    /// Whether it names these columns itself.
    pub has_ratio: bool,
    pub has_observations: bool,
}

impl Query {
    /// Whether it can be asked for exactly these dimensions.
    pub fn is_prepared_for(&self, dimensions: &[String]) -> bool {
        let asked: BTreeSet<&String> = dimensions.iter().collect();
        self.plans.keys().any(|(_, set)| set.iter().collect::<BTreeSet<_>>() == asked)
    }
}

/// One query, ready to run and ready to show.
#[derive(Debug, Clone)]
pub struct QueryPlans {
    pub rows: Arc<LogicalPlan>,
    pub by_name: Arc<LogicalPlan>,
}

/// One use of another KPI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The column name that stands for it in the value.
    pub name: String,
    pub kpi: String,
    /// How much earlier it is read.
    pub earlier: Option<Earlier>,
    /// Whether it is read for the whole, without the dimensions asked for.
    pub is_total: bool,
}

/// How much earlier an input is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// So much before the period.
    Previous(Previous),
    /// In the first period of the one of this grain that the period lies in.
    StartOf(Grain),
}

/// How many periods before another one lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Previous {
    /// One period of whatever grain is asked.
    Period,
    /// A length of time, such as 1 year; a whole number of periods at each grain that the KPI has.
    Length(Length),
}

/// A length of time in the calendar, such as 90 days or 1 year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length {
    pub count: i64,
    pub unit: Grain,
}

impl Length {
    /// The same length as whole months and days.
    pub fn months_and_days(self) -> (i32, i32) {
        let count = i32::try_from(self.count).unwrap_or(i32::MAX);
        match self.unit {
            Grain::Day => (0, count),
            Grain::Week => (0, count.saturating_mul(7)),
            Grain::Month => (count, 0),
            Grain::Quarter => (count.saturating_mul(3), 0),
            Grain::Year => (count.saturating_mul(12), 0),
        }
    }

    /// The day that lies so long before another one, as SQL takes a length from a date: a month before the 31st lies the last
    /// day of a shorter month.
    pub fn before(self, day: NaiveDate) -> Option<NaiveDate> {
        let (months, days) = self.months_and_days();
        let day = day.checked_sub_months(Months::new(months.unsigned_abs()))?;
        day.checked_sub_days(Days::new(days.unsigned_abs().into()))
    }
}

/// How long one event may lie behind another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within {
    /// Calendar days of the project's zone; the last one counts.
    Calendar(Length),
    /// Exact time between two instants.
    Seconds(i64),
}

impl Previous {
    /// How many periods of `grain` this is, where it is a whole number of them.
    pub fn periods(self, grain: Grain) -> Option<i64> {
        let (count, unit) = match self {
            Previous::Period => return Some(1),
            Previous::Length(Length { count, unit }) => (count, unit),
        };
        match (days(unit), days(grain), months(unit), months(grain)) {
            (Some(unit), Some(grain), ..) => whole(count.checked_mul(unit)?, grain),
            (.., Some(unit), Some(grain)) => whole(count.checked_mul(unit)?, grain),
            _ => None,
        }
    }
}

fn whole(size: i64, grain: i64) -> Option<i64> {
    (size % grain == 0).then_some(size / grain)
}

fn days(grain: Grain) -> Option<i64> {
    match grain {
        Grain::Day => Some(1),
        Grain::Week => Some(7),
        Grain::Month | Grain::Quarter | Grain::Year => None,
    }
}

fn months(grain: Grain) -> Option<i64> {
    match grain {
        Grain::Day | Grain::Week => None,
        Grain::Month => Some(1),
        Grain::Quarter => Some(3),
        Grain::Year => Some(12),
    }
}

/// Which way is good.
pub use crate::spec::Better;

/// What kind of target it is.
pub use crate::spec::TargetForm;

/// What is wanted of a KPI, and from when until when.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    pub goal: Goal,
    pub form: TargetForm,
    /// The value from which it sets out.
    pub baseline: Option<f64>,
    /// Who answers for reaching it.
    pub owner: Option<String>,
    pub from: Option<NaiveDate>,
    /// The last day.
    pub until: Option<NaiveDate>,
}

/// What is to be reached. The `warn` and `critical` of a target that is looked up are shares of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Goal {
    /// A value to reach, on the side that `better` names.
    Value { value: f64, warn: Option<f64>, critical: Option<f64> },
    /// A band to stay in.
    Between { low: f64, high: f64 },
    /// The value of another KPI, wherever that can be broken down as this one is.
    Kpi { kpi: String, warn: Option<f64>, critical: Option<f64> },
    /// The row of a table for the period and member.
    Table { table: TargetTable, warn: Option<f64>, critical: Option<f64> },
}

/// A table of targets: one row for each period, and for each member of the dimensions that are not NULL in it.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetTable {
    pub table: String,
    pub time: Expr,
    pub time_type: DataType,
    /// The column that names the grain of a row. Without it all rows are of the KPI's first grain.
    pub has_grain: bool,
    /// The KPI's dimensions that are columns of the table.
    pub dimensions: BTreeSet<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_a_whole_number_of_periods_or_none() {
        let length = |count, unit| Previous::Length(Length { count, unit });
        assert_eq!(Previous::Period.periods(Grain::Week), Some(1));
        assert_eq!(length(1, Grain::Year).periods(Grain::Month), Some(12));
        assert_eq!(length(1, Grain::Year).periods(Grain::Quarter), Some(4));
        assert_eq!(length(1, Grain::Month).periods(Grain::Quarter), None);
        assert_eq!(length(1, Grain::Year).periods(Grain::Week), None, "a year is no whole number of weeks");
        assert_eq!(length(52, Grain::Week).periods(Grain::Day), Some(364));
    }
}
