//! `kpi_values`: one table over all KPIs in the long form that BI tools like, a row for each value.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, StringArray, StringBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use super::internal;
use crate::compile::BREAKDOWN_OVERALL;
use crate::error::{Error, Result};

/// The name under which the table is stored and published.
pub const KPI_VALUES: &str = "kpi_values";

/// The columns that every KPI has, before and behind its dimensions.
const BEFORE: [(&str, DataType); 5] = [
    ("kpi", DataType::Utf8),
    ("grain", DataType::Utf8),
    ("period_start", DataType::Date32),
    ("period_end", DataType::Date32),
    ("breakdown", DataType::Utf8),
];
const BEHIND: [(&str, DataType); 8] = [
    ("value", DataType::Float64),
    ("numerator", DataType::Float64),
    ("denominator", DataType::Float64),
    ("n", DataType::Int64),
    ("target", DataType::Float64),
    ("status", DataType::Utf8),
    ("is_complete", DataType::Boolean),
    ("is_ripe", DataType::Boolean),
];

/// `kpi, grain, period_start, period_end, breakdown, members, value, numerator, denominator, n, target, status,
/// is_complete, is_ripe`. `members` is a JSON object of the dimensions in `breakdown`; values are doubles.
pub fn kpi_values_schema() -> SchemaRef {
    let members = ("members", DataType::Utf8);
    let columns = BEFORE.into_iter().chain([members]).chain(BEHIND);
    Arc::new(Schema::new(columns.map(|(name, data_type)| Field::new(name, data_type, true)).collect::<Vec<_>>()))
}

/// The published rows of one KPI in the long form.
///
/// # Errors
/// `Internal` where a column that every KPI has is missing.
pub fn kpi_values(rows: &RecordBatch) -> Result<RecordBatch> {
    let find = |name: &str, data_type: &DataType| -> Result<ArrayRef> {
        let column = rows.column_by_name(name).ok_or_else(|| Error::internal(format!("the result has no `{name}`")))?;
        cast(column, data_type).map_err(internal)
    };
    let mut columns = Vec::new();
    for (name, data_type) in &BEFORE {
        columns.push(find(name, data_type)?);
    }
    columns.push(members(rows, &columns[4])?);
    for (name, data_type) in &BEHIND {
        columns.push(find(name, data_type)?);
    }
    RecordBatch::try_new(kpi_values_schema(), columns).map_err(internal)
}

fn members(rows: &RecordBatch, breakdown: &ArrayRef) -> Result<ArrayRef> {
    let breakdown =
        breakdown.as_any().downcast_ref::<StringArray>().ok_or_else(|| Error::internal("`breakdown` is no text"))?;
    let options = FormatOptions::default();
    let mut formatters: Vec<(String, ArrayRef, ArrayFormatter<'_>)> = Vec::new();
    for (field, column) in rows.schema_ref().fields().iter().zip(rows.columns()) {
        let formatter = ArrayFormatter::try_new(column.as_ref(), &options).map_err(internal)?;
        formatters.push((field.name().clone(), column.clone(), formatter));
    }
    let mut built = StringBuilder::new();
    for row in 0..rows.num_rows() {
        let names = breakdown.value(row);
        let mut object = serde_json::Map::new();
        for name in names.split(", ").filter(|_| names != BREAKDOWN_OVERALL) {
            let found = formatters.iter().find(|(known, ..)| known == name);
            let (_, column, formatter) =
                found.ok_or_else(|| Error::internal(format!("the result has no dimension `{name}`")))?;
            let member = match column.is_null(row) {
                true => serde_json::Value::Null,
                false => serde_json::Value::String(formatter.value(row).to_string()),
            };
            object.insert(name.to_owned(), member);
        }
        built.append_value(serde_json::Value::Object(object).to_string());
    }
    Ok(Arc::new(built.finish()))
}
