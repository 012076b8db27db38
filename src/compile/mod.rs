//! One KPI, at one grain and for one set of dimensions, as a DataFusion plan.
//!
//! Each shape is a file: `aggregate` for aggregates of a table, `arithmetic` and `composite` for KPIs over KPIs, `query` for
//! KPIs that are one query. They meet in [`Compiler::kpi_plan`], which answers with the same columns for every shape;
//! [`result_plan`] adds what published rows carry.
//!
//! The rows of a table go a straight way to the aggregates: `table` reads them with their joins (`conversion` and `funnel`
//! put more beside them), `placement` puts each into its periods, `entities` and `cohort` bring the rows of one entity
//! together first. Where the aggregated rows come from is left open ([`Leaves`]): that way, or from a pass that several
//! KPIs share. Everything behind it is the same plan, so both ways give the same values.

mod aggregate;
mod arithmetic;
mod bounds;
mod cohort;
mod composite;
mod conversion;
mod entities;
mod funnel;
mod placement;
mod query;
mod result;
mod ripeness;
mod table;
mod target;
mod walk;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDate;
use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result, ScalarValue, TableReference, internal_datafusion_err};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Union, cast, lit};

pub use bounds::{Bounds, Extent, day_of, days_are_in_order};
pub use placement::{Counted, rolled_up, with_types_of};
pub use result::{BREAKDOWN_OVERALL, breakdown, result_plan};
pub use table::{RowTime, TableLeaves, joined_rows, rows_within};

use crate::functions::{calendar_arguments, period_shift, period_start};
use crate::model::{Aggregate, Input, Kpi, Model, Placement, Shape};
use crate::time::{Calendar, Grain};

pub use crate::model::{DENOMINATOR, NUMERATOR, OBSERVATIONS, PERIOD_END, PERIOD_START, VALUE};

/// One grain and one set of dimensions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    pub grain: Grain,
    pub dimensions: Vec<String>,
}

impl Cell {
    /// Whether another cell has the same rows, its dimensions maybe in another order.
    pub fn is_same_as(&self, other: &Cell) -> bool {
        let has_all = |one: &Cell, other: &Cell| one.dimensions.iter().all(|name| other.dimensions.contains(name));
        self.grain == other.grain && has_all(self, other) && has_all(other, self)
    }
}

/// Where the aggregated rows of a KPI come from. `Sync`, so that servers can spawn what waits for a query.
pub trait Leaves: Sync {
    /// Rows of `period_start`, the cell's dimensions by name, the KPI's measures by name, and `rows`: one for each period
    /// and member that has rows, placed as the request says.
    fn leaf(&self, kpi: &Kpi, aggregate: &Aggregate, request: &Request) -> Result<LogicalPlanBuilder>;

    /// What plans are made of.
    fn way(&self) -> Way;

    /// Whether tables stand in plans by their names only.
    fn is_by_name(&self) -> bool {
        self.way() == Way::Names
    }
}

/// What plans are made of. All ways give the same rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// DataFusion's operators and ours.
    Operators,
    /// DataFusion's operators alone, which spill where ours fail.
    Joins,
    /// The same, with tables by their names only, for SQL that people read. Such a plan cannot run.
    Names,
}

/// What is asked of [`Leaves`].
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// How rows come to periods: as the KPI has it, or one by one where windows are made of days afterwards.
    pub placement: &'a Placement,
    pub cell: &'a Cell,
    pub view: View,
}

/// How far the data of a KPI is looked at.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// The days that the data covers; `None` where there is none.
    pub extent: Option<Extent>,
    /// Only what happened on these days counts; levels and windows end with the last of them.
    pub days: Option<Days>,
    /// Only what happened up to this day counts.
    pub until: Option<NaiveDate>,
}

impl View {
    /// Whether everything up to the last day that is known counts.
    pub fn is_whole(&self) -> bool {
        self.days.is_none() && self.until.is_none()
    }

    /// The same view, with everything that came before its days.
    pub fn from_the_beginning(&self) -> View {
        View { days: None, until: self.days.map(|(_, last)| last).or(self.until), ..*self }
    }

    /// The last day that counts.
    pub fn last(&self) -> Option<NaiveDate> {
        let ends = [self.extent.map(|extent| extent.last), self.days.map(|(_, last)| last), self.until];
        ends.into_iter().flatten().min()
    }
}

/// The first and the last of the days that count, where not all within the bounds do.
pub type Days = (NaiveDate, NaiveDate);

/// What compiling needs beside the KPI.
pub struct Compiler<'a> {
    pub model: &'a Model,
    pub leaves: &'a dyn Leaves,
    /// The days that the data of each aggregate KPI covers, by KPI.
    pub extents: &'a BTreeMap<String, Extent>,
    /// Only rows of these days count.
    pub days: Option<Days>,
    /// Members that have rows, also where those are not read.
    pub members: &'a Members,
}

/// The members that KPIs are known to have, by KPI and cell: rows of the cell's dimensions.
pub type Members = BTreeMap<String, Vec<(Cell, Arc<dyn TableProvider>)>>;

impl<'a> Compiler<'a> {
    /// The KPI over a cell: `period_start`, the dimensions, `value`, `numerator`, `denominator`, `n`, and the measures of
    /// an aggregate. One row for each period and member, in no order.
    pub fn kpi_plan(&self, kpi: &Kpi, cell: &Cell) -> Result<LogicalPlanBuilder> {
        match &kpi.shape {
            Shape::Aggregate(aggregate) => aggregate::plan(self, kpi, aggregate, cell),
            Shape::Arithmetic(arithmetic) => arithmetic::plan(self, arithmetic, cell),
            Shape::Composite(composite) => composite::plan(self, composite, cell),
            Shape::Query(query) => query::plan(self, kpi, query, cell),
        }
    }

    /// The days that all data behind a KPI covers; `None` where some of it has no rows.
    pub fn extent(&self, kpi: &Kpi) -> Option<Extent> {
        match &kpi.shape {
            Shape::Aggregate(_) | Shape::Query(_) => self.extents.get(&kpi.name).copied(),
            Shape::Arithmetic(_) | Shape::Composite(_) => self.together(kpi.value_inputs().into_iter()),
        }
    }

    /// The days that the data behind all these KPIs covers.
    fn together<'k>(&self, kpis: impl Iterator<Item = &'k str>) -> Option<Extent> {
        let extents = kpis.map(|kpi| self.extent(self.model.kpis.get(kpi)?));
        extents.reduce(|one, other| Some(one?.together(other?)))?
    }

    fn view(&self, kpi: &Kpi) -> View {
        View { extent: self.extent(kpi), days: self.days, until: None }
    }

    /// The periods of a cell.
    fn periods(&self, cell: &Cell, view: View) -> placement::Periods<'a> {
        placement::Periods { model: self.model, grain: cell.grain, view, way: self.leaves.way() }
    }

    fn calendar(&self) -> &'a Calendar {
        &self.model.project.calendar
    }

    fn kpi(&self, name: &str) -> Result<&'a Kpi> {
        let kpi = self.model.kpis.get(name);
        Ok(kpi.ok_or_else(|| internal_datafusion_err!("KPI `{name}` was not prepared"))?)
    }
}

/// The whole plan of a KPI as `kpi sql` shows it: sorted, and limited to the periods from `since` on.
pub fn shown_plan(compiler: &Compiler, kpi: &Kpi, cell: &Cell, since: Option<NaiveDate>) -> Result<LogicalPlan> {
    let mut plan = compiler.kpi_plan(kpi, cell)?;
    if let Some(since) = since {
        plan = plan.filter(column(PERIOD_START).gt_eq(lit(bounds::date(since))))?;
    }
    let order = [PERIOD_START].into_iter().chain(cell.dimensions.iter().map(String::as_str));
    let plan = plan.sort(order.map(|name| column(name).sort(true, false)).collect::<Vec<_>>())?.build()?;
    Ok(plan.transform_up_with_subqueries(without_values)?.data)
}

/// `VALUES` of a query as a union of rows, since DataFusion 55.2 cannot write it as SQL.
fn without_values(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Values(values) = plan else { return Ok(Transformed::no(plan)) };
    let fields = values.schema.fields();
    let of_its_type = |value: Expr, index: usize| {
        let field = &fields[index];
        let is_alike = value.get_type(&values.schema).is_ok_and(|own| &own == field.data_type());
        let value = if is_alike { value } else { cast(value, field.data_type().clone()) };
        value.alias(field.name())
    };
    let rows = values.values.into_iter();
    let rows = rows.map(|row| row.into_iter().enumerate().map(|(index, value)| of_its_type(value, index)).collect());
    Ok(Transformed::yes(rows_of(rows.collect())?.build()?))
}

/// The rows of a plan from a period on.
pub fn since(plan: LogicalPlan, since: NaiveDate) -> Result<LogicalPlan> {
    LogicalPlanBuilder::from(plan).filter(column(PERIOD_START).gt_eq(lit(bounds::date(since))))?.build()
}

/// A column of the plan at hand by its bare name, which may hold dots.
pub fn column(name: &str) -> Expr {
    Expr::Column(Column::from_name(name))
}

/// A few rows that stand in the query itself, each with the same named values.
fn rows_of(rows: Vec<Vec<Expr>>) -> Result<LogicalPlanBuilder> {
    let rows = rows.into_iter().map(|row| Ok(Arc::new(LogicalPlanBuilder::empty(true).project(row)?.build()?)));
    let rows = rows.collect::<Result<Vec<_>>>()?;
    Ok(match rows.as_slice() {
        [only] => LogicalPlanBuilder::from(only.as_ref().clone()),
        _ => LogicalPlanBuilder::from(LogicalPlan::Union(Union::try_new(rows)?)),
    })
}

/// The cell at which an input is read: a total has only the dimensions that it must not be asked without.
pub fn input_cell(kpi: &Kpi, input: &Input, cell: &Cell) -> Cell {
    let is_read = |name: &&String| !input.is_total || kpi.required_dimensions.contains(name);
    Cell { grain: cell.grain, dimensions: cell.dimensions.iter().filter(is_read).cloned().collect() }
}

/// The first day of the period behind another one.
fn next_period(period_start: Expr, grain: Grain) -> Expr {
    period_shift().call(vec![period_start, lit(grain.name()), lit(1_i64)])
}

/// NULL as a double.
fn no_number() -> Expr {
    cast(lit(ScalarValue::Null), DataType::Float64)
}

/// A column of a named part of a join.
fn of(relation: &str, name: &str) -> Expr {
    Expr::Column(Column::new(Some(TableReference::bare(relation)), name))
}

/// Equal, where two NULLs are equal too: the member NULL is a member.
fn null_safe(left: Expr, right: Expr) -> Expr {
    datafusion::logical_expr::binary_expr(left, datafusion::logical_expr::Operator::IsNotDistinctFrom, right)
}

/// The first day of the period that `day` lies in.
pub fn period_of(day: Expr, grain: Grain, calendar: &Calendar) -> Expr {
    if grain == Grain::Day {
        return day;
    }
    let further = calendar_arguments(calendar, grain).into_iter().map(lit);
    period_start().call([day, lit(grain.name())].into_iter().chain(further).collect())
}
