//! Rows as they are published: plain column types that every reader knows, all nullable, in a stable order.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use datafusion::arrow::compute::{SortColumn, SortOptions, cast, lexsort_to_indices, take_record_batch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;

use crate::compile::{Cell, PERIOD_START};
use crate::error::{Error, Result};
use crate::model::{Funnel, Kpi, STEP, Subject};

/// The schema that a query's columns get when they are published.
pub fn published_schema(schema: &SchemaRef) -> SchemaRef {
    let plain = |data_type: &DataType| match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::Dictionary(_, value) if matches!(value.as_ref(), DataType::Utf8 | DataType::Utf8View) => {
            DataType::Utf8
        }
        other => other.clone(),
    };
    let fields = schema.fields().iter().map(|field| Field::new(field.name(), plain(field.data_type()), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The same rows with the column types of `schema`.
///
/// # Errors
/// `Internal` where a column cannot be cast, or there is another number of columns.
pub fn with_schema(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = rows.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| cast(column, field.data_type())).collect::<Result<Vec<_>, _>>();
    columns.and_then(|columns| RecordBatch::try_new(schema.clone(), columns)).map_err(internal)
}

/// A column of a result.
///
/// # Errors
/// `Internal` where the result has none of that name.
pub fn result_column<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    rows.column_by_name(name).ok_or_else(|| Error::internal(format!("the result has no `{name}`")))
}

/// A column of a result in the type that is needed.
///
/// # Errors
/// `Internal` where the result has none of that name, or none that can be cast.
pub fn result_column_as(rows: &RecordBatch, name: &str, data_type: &DataType) -> Result<ArrayRef> {
    cast(result_column(rows, name)?, data_type).map_err(internal)
}

/// The rows of one cell by period, then by member; the member NULL comes first. The steps of a funnel keep their order.
///
/// # Errors
/// `Internal` where the columns of the cell are missing.
pub fn sorted(rows: &RecordBatch, kpi: &Kpi, cell: &Cell) -> Result<RecordBatch> {
    let mut columns = Vec::new();
    for name in [PERIOD_START].into_iter().chain(cell.dimensions.iter().map(String::as_str)) {
        let values = result_column(rows, name)?;
        let values = match kpi.aggregate().map(|aggregate| &aggregate.subject) {
            Some(Subject::Funnel(funnel)) if name == STEP => positions(values, funnel)?,
            _ => values.clone(),
        };
        columns.push(SortColumn { values, options: Some(SortOptions { descending: false, nulls_first: true }) });
    }
    let order = lexsort_to_indices(&columns, None).map_err(internal)?;
    take_record_batch(rows, &order).map_err(internal)
}

/// Where each step stands in its funnel.
fn positions(steps: &ArrayRef, funnel: &Funnel) -> Result<ArrayRef> {
    let steps = cast(steps, &DataType::Utf8).map_err(internal)?;
    let position = |step: Option<&str>| {
        let position = funnel.steps.iter().position(|(name, _)| Some(name.as_str()) == step);
        position.and_then(|position| i64::try_from(position).ok())
    };
    Ok(Arc::new(steps.as_string::<i32>().iter().map(position).collect::<Int64Array>()))
}

fn internal(error: ArrowError) -> Error {
    Error::internal("rows of a result do not fit together").with_source(error)
}
