//! What a table holds, told in one pass: how many rows, of which days, and which of its columns have no value at all.
//!
//! It looks only at columns that somebody reads. Whether values make sense is for tests of the data to say.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{Date32Type, Int64Type};
use datafusion::common::{Column, TableReference};
use datafusion::functions_aggregate::expr_fn::{count, max, min};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, lit};
use datafusion::prelude::SessionContext;

use crate::compile::day_of;
use crate::error::{Error, Result};
use crate::execute::{collect, query_error};
use crate::model::Table;
use crate::time::{Calendar, from_epoch_days};

/// What one table holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableProfile {
    pub rows: u64,
    /// The first and the last day of its rows, where its definition says what places them in time.
    pub days: Option<(NaiveDate, NaiveDate)>,
    /// Those of the columns asked for that hold no value.
    pub empty: BTreeSet<String>,
}

/// Looks at all rows of a table.
///
/// # Errors
/// As the query fails: where a file cannot be read, or a value does not fit its type.
pub async fn profile(
    context: &SessionContext,
    table: &Table,
    columns: &BTreeSet<String>,
    calendar: &Calendar,
) -> Result<TableProfile> {
    let asked: Vec<&String> = columns.iter().filter(|name| table.schema.column_with_name(name).is_some()).collect();
    let own = |name: &str| Expr::Column(Column::new(Some(TableReference::bare(table.name.as_str())), name));
    let mut aggregates = vec![count(lit(1_i64)).alias("rows")];
    aggregates.extend(asked.iter().enumerate().map(|(index, name)| count(own(name)).alias(format!("values {index}"))));
    if let Some(time) = &table.time
        && let Ok(field) = table.schema.field_with_name(time)
    {
        let day = day_of(&own(time), field.data_type(), calendar);
        aggregates.extend([min(day.clone()).alias("first"), max(day).alias("last")]);
    }
    let plan = LogicalPlanBuilder::from(table.plan.as_ref().clone())
        .aggregate(Vec::<Expr>::new(), aggregates)
        .and_then(LogicalPlanBuilder::build)
        .map_err(query_error)?;
    let (_, batches) = collect(context, plan).await?;
    let row = batches.iter().find(|batch| batch.num_rows() > 0);
    let row = row.ok_or_else(|| Error::execution(format!("nothing came back of `{}`", table.name)))?;
    let number = |name: &str| {
        let column = row.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
        let column = column.ok_or_else(|| Error::internal(format!("no number came back of `{}`", table.name)))?;
        Ok(column.value(0).unsigned_abs())
    };
    let day = |name: &str| {
        let column = row.column_by_name(name)?.as_primitive_opt::<Date32Type>()?;
        (!column.is_null(0)).then(|| from_epoch_days(column.value(0)))?
    };
    let mut empty = BTreeSet::new();
    for (index, name) in asked.iter().enumerate() {
        if number(&format!("values {index}"))? == 0 {
            empty.insert((*name).clone());
        }
    }
    Ok(TableProfile { rows: number("rows")?, days: day("first").zip(day("last")), empty })
}
