//! What is meant: names resolved, expressions typed against the real schemas, dependencies ordered.
//!
//! Whoever holds a [`Kpi`] need not check anything again. Only `validate` makes these values; they know no files of
//! definitions and no places in them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use chrono::NaiveDate;
use datafusion::arrow::array::StringArray;
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::functions_aggregate::expr_fn::{count, count_distinct, max, min, sum};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Expr, LogicalPlan, lit};

use crate::catalog::{CsvOptions, Periods, Source, is_code};
use crate::time::{Calendar, Grain};

/// Everything that can run, and what was left out and why.
#[derive(Debug, Clone)]
pub struct Model {
    pub project: Project,
    pub tables: BTreeMap<String, Arc<Table>>,
    pub kpis: BTreeMap<String, Arc<Kpi>>,
    /// KPI names, inputs before the KPIs that use them.
    pub order: Vec<String>,
    /// KPIs whose tables have no data.
    pub skipped: Vec<Skipped>,
    /// The calendar as a table.
    pub periods: Arc<Periods>,
}

/// A KPI that cannot run because a table has no data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    pub kpi: String,
    pub reason: String,
}

/// What holds for the whole project.
#[derive(Debug, Clone)]
pub struct Project {
    pub name: String,
    pub description: Option<String>,
    pub calendar: Calendar,
    pub currency: Option<String>,
    pub data: PathBuf,
    pub output: PathBuf,
}

/// A table with data: cleaned, typed, and with the standard filter applied.
#[derive(Debug, Clone)]
pub struct Table {
    pub name: String,
    /// The rows that exist for KPIs.
    pub plan: Arc<LogicalPlan>,
    pub schema: SchemaRef,
    pub primary_key: Vec<String>,
    pub joins: BTreeMap<String, Join>,
    /// The column whose largest value says how far the data reaches.
    pub freshness: Option<String>,
    pub origin: Origin,
    /// The definition in words that change when the meaning does; part of the KPIs' fingerprints.
    pub fingerprint: String,
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

/// A many-to-one join to the primary key of another table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    pub table: String,
    /// Column here, column there.
    pub on: Vec<(String, String)>,
}

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
    pub unit: Option<String>,
    pub better: Better,
    pub owner: Option<String>,
    pub tags: Vec<String>,
    /// The file that defines it, for people.
    pub file: PathBuf,
    pub shape: Shape,
    /// What it is broken down by, overall (the empty set) first unless it must not be asked without dimensions.
    pub dimension_sets: Vec<Vec<String>>,
    pub required_dimensions: Vec<String>,
    pub grains: Vec<Grain>,
    pub target: Option<Target>,
    pub minimum_n: Option<u64>,
    pub value_type: DataType,
    /// Changes when the value may: the definition, those of its tables and inputs, and the calendar.
    pub fingerprint: String,
}

impl Kpi {
    /// The KPIs that this one is computed from.
    pub fn inputs(&self) -> BTreeSet<&str> {
        match &self.shape {
            Shape::Aggregate(_) => BTreeSet::new(),
            Shape::Arithmetic(arithmetic) => arithmetic.inputs.iter().map(|input| input.kpi.as_str()).collect(),
        }
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

/// How a KPI is computed. A new shape is a variant here, its rules in `validate` and a file in `compile`.
#[derive(Debug, Clone)]
pub enum Shape {
    Aggregate(Box<Aggregate>),
    Arithmetic(Arithmetic),
}

/// Aggregates of one table, and arithmetic over them.
#[derive(Debug, Clone)]
pub struct Aggregate {
    pub table: String,
    /// The date or timestamp that places a row in a period.
    pub time: Expr,
    pub time_type: DataType,
    /// As the definition names it.
    pub time_name: String,
    /// Joins that the time, the filter and the measures need.
    pub joins: BTreeSet<JoinPath>,
    pub condition: Option<Expr>,
    pub measures: Vec<Measure>,
    pub value: Value,
    /// Every dimension in `dimension_sets`, by name.
    pub dimensions: BTreeMap<String, Dimension>,
    /// Covered periods without rows are 0.
    pub fill_zero: bool,
}

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
    /// `None` for `count(*)`.
    pub argument: Option<Expr>,
    pub filter: Option<Expr>,
    pub data_type: DataType,
}

/// The aggregate functions that a value may use. An average is a sum and a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeasureFunction {
    Sum,
    Count,
    CountDistinct,
    Min,
    Max,
}

impl MeasureFunction {
    /// Whether the result over parts follows from the results of the parts.
    pub fn adds_up(self) -> bool {
        match self {
            MeasureFunction::Sum | MeasureFunction::Count | MeasureFunction::Min | MeasureFunction::Max => true,
            MeasureFunction::CountDistinct => false,
        }
    }
}

/// The aggregate function of a measure.
pub fn measure_expression(function: MeasureFunction, argument: Option<Expr>, filter: Option<Expr>) -> Expr {
    let argument = argument.unwrap_or_else(|| lit(1_i64));
    let call = match function {
        MeasureFunction::Sum => sum(argument),
        MeasureFunction::Count => count(argument),
        MeasureFunction::CountDistinct => count_distinct(argument),
        MeasureFunction::Min => min(argument),
        MeasureFunction::Max => max(argument),
    };
    match (call, filter) {
        (Expr::AggregateFunction(AggregateFunction { func, mut params }), Some(filter)) => {
            params.filter = Some(Box::new(filter));
            Expr::AggregateFunction(AggregateFunction { func, params })
        }
        (call, _) => call,
    }
}

/// The column that counts the rows behind a value, in every query of an aggregate.
pub const ROWS: &str = "rows";

/// The column that counts the observations behind an input of arithmetic.
pub fn input_rows(input: &str) -> String {
    format!("{input}_{ROWS}")
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

/// One use of another KPI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The column name that stands for it in the value.
    pub name: String,
    pub kpi: String,
    /// How much earlier it is read.
    pub previous: Option<Previous>,
}

/// How much earlier an input is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Previous {
    /// One period of whatever grain is asked.
    Period,
    /// A length of time, such as 1 year; a whole number of periods at each grain that the KPI has.
    Length { count: i64, unit: Grain },
}

impl Previous {
    /// How many periods of `grain` this is, where it is a whole number of them.
    pub fn periods(self, grain: Grain) -> Option<i64> {
        let (count, unit) = match self {
            Previous::Period => return Some(1),
            Previous::Length { count, unit } => (count, unit),
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

/// What is wanted of a KPI, and from when until when.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    pub goal: Goal,
    pub from: Option<NaiveDate>,
    /// The last day.
    pub until: Option<NaiveDate>,
}

/// The form of a target.
#[derive(Debug, Clone, PartialEq)]
pub enum Goal {
    /// A value to reach, on the side that `better` names.
    Value { value: f64, warn: Option<f64>, critical: Option<f64> },
    /// A band to stay in.
    Between { low: f64, high: f64 },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_a_whole_number_of_periods_or_none() {
        let length = |count, unit| Previous::Length { count, unit };
        assert_eq!(Previous::Period.periods(Grain::Week), Some(1));
        assert_eq!(length(1, Grain::Year).periods(Grain::Month), Some(12));
        assert_eq!(length(1, Grain::Year).periods(Grain::Quarter), Some(4));
        assert_eq!(length(1, Grain::Month).periods(Grain::Quarter), None);
        assert_eq!(length(1, Grain::Year).periods(Grain::Week), None, "a year is no whole number of weeks");
        assert_eq!(length(52, Grain::Week).periods(Grain::Day), Some(364));
    }
}
