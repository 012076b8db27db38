//! KPIs that are one query: planned when they were checked, for each grain and each set of dimensions.
//!
//! The query's own rows are taken as they are; only periods behind the day looked from are left out.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, internal_datafusion_err};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, cast, lit};

use super::aggregate::keys;
use super::bounds::date;
use super::{Cell, Compiler, DENOMINATOR, NUMERATOR, OBSERVATIONS, PERIOD_START, VALUE, column};
use crate::model::{Kpi, Query};

pub(super) fn plan(compiler: &Compiler, kpi: &Kpi, query: &Query, cell: &Cell) -> Result<LogicalPlanBuilder> {
    let dimensions: BTreeSet<String> = cell.dimensions.iter().cloned().collect();
    let plans = query.plans.get(&(cell.grain, dimensions));
    let plans = plans.ok_or_else(|| internal_datafusion_err!("the query was not prepared for {cell:?}"))?;
    let plan = if compiler.leaves.is_by_name() { &plans.by_name } else { &plans.rows };
    let mut plan = LogicalPlanBuilder::from(plan.as_ref().clone()).alias("answer")?;
    if let Some(until) = compiler.view(kpi).last() {
        plan = plan.filter(column(PERIOD_START).lt_eq(lit(date(until))))?;
    }
    let number = |is_there: bool, name: &str, data_type: DataType| -> Expr {
        let value = if is_there { column(name) } else { lit(ScalarValue::Null) };
        cast(value, data_type).alias(name)
    };
    let mut columns = keys(cell);
    columns.push(column(VALUE));
    columns.push(number(query.has_ratio, NUMERATOR, DataType::Float64));
    columns.push(number(query.has_ratio, DENOMINATOR, DataType::Float64));
    columns.push(number(query.has_observations, OBSERVATIONS, DataType::Int64));
    plan.project(columns)
}
