//! One KPI, at one grain and for one set of dimensions, as a DataFusion plan.
//!
//! Each shape is a file: `aggregate` for aggregates of a table, `arithmetic` for KPIs over KPIs. They meet in
//! [`kpi_plan`], which answers with the same columns for every shape; [`result_plan`] adds what published rows carry.
//! Where the aggregated rows come from is left open ([`Leaves`]): straight from the table, or from a pass that several
//! KPIs share. Everything behind it is the same plan, so both ways give the same values.

mod aggregate;
mod arithmetic;
mod bounds;
mod result;

use std::collections::BTreeMap;

use chrono::NaiveDate;
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};

pub use aggregate::{TableLeaves, joined_rows};
pub use bounds::{Bounds, Extent, day_of};
pub use result::{BREAKDOWN_OVERALL, breakdown, result_plan};

use crate::functions::{calendar_arguments, period_start};
use crate::model::{Aggregate, Arithmetic, Kpi, Model, Shape};
use crate::time::{Calendar, Grain};

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

/// One grain and one set of dimensions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    pub grain: Grain,
    pub dimensions: Vec<String>,
}

/// Where the aggregated rows of a KPI come from. `Sync`, so that servers can spawn what waits for a query.
pub trait Leaves: Sync {
    /// Rows of `period_start`, the cell's dimensions by name, the KPI's measures by name, and `rows`: one for each period
    /// and member that has rows, within the bounds.
    fn leaf(&self, kpi: &Kpi, aggregate: &Aggregate, cell: &Cell, days: Option<Days>) -> Result<LogicalPlanBuilder>;
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
}

impl Compiler<'_> {
    /// The KPI over a cell: `period_start`, the dimensions, `value`, `numerator`, `denominator`, `n`, and the measures of
    /// an aggregate. One row for each period and member, in no order.
    pub fn kpi_plan(&self, kpi: &Kpi, cell: &Cell) -> Result<LogicalPlanBuilder> {
        match &kpi.shape {
            Shape::Aggregate(aggregate) => aggregate::plan(self, kpi, aggregate, cell),
            Shape::Arithmetic(arithmetic) => arithmetic::plan(self, arithmetic, cell),
        }
    }

    /// The days that all data behind a KPI covers; `None` where some of it has no rows.
    pub fn extent(&self, kpi: &Kpi) -> Option<Extent> {
        match &kpi.shape {
            Shape::Aggregate(_) => self.extents.get(&kpi.name).copied(),
            Shape::Arithmetic(arithmetic) => self.together(arithmetic),
        }
    }

    /// The days that the data behind all inputs covers.
    fn together(&self, arithmetic: &Arithmetic) -> Option<Extent> {
        let extents = arithmetic.inputs.iter().map(|input| self.extent(self.model.kpis.get(&input.kpi)?));
        extents.reduce(|one, other| Some(one?.together(other?)))?
    }

    fn calendar(&self) -> &Calendar {
        &self.model.project.calendar
    }
}

/// The whole plan of a KPI as `kpi sql` shows it: sorted, and limited to the periods from `since` on.
pub fn shown_plan(compiler: &Compiler, kpi: &Kpi, cell: &Cell, since: Option<NaiveDate>) -> Result<LogicalPlan> {
    let mut plan = compiler.kpi_plan(kpi, cell)?;
    if let Some(since) = since {
        plan = plan.filter(column(PERIOD_START).gt_eq(lit(bounds::date(since))))?;
    }
    let order = [PERIOD_START].into_iter().chain(cell.dimensions.iter().map(String::as_str));
    plan.sort(order.map(|name| column(name).sort(true, false)).collect::<Vec<_>>())?.build()
}

/// The rows of a plan from a period on.
pub fn since(plan: LogicalPlan, since: NaiveDate) -> Result<LogicalPlan> {
    LogicalPlanBuilder::from(plan).filter(column(PERIOD_START).gt_eq(lit(bounds::date(since))))?.build()
}

/// A column of the plan at hand by its bare name, which may hold dots.
pub fn column(name: &str) -> Expr {
    Expr::Column(Column::from_name(name))
}

/// The first day of the period that `day` lies in.
pub fn period_of(day: Expr, grain: Grain, calendar: &Calendar) -> Expr {
    if grain == Grain::Day {
        return day;
    }
    let further = calendar_arguments(calendar, grain).into_iter().map(lit);
    period_start().call([day, lit(grain.name())].into_iter().chain(further).collect())
}
