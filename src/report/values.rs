//! `kpi_values`: one table over all KPIs in the long form that BI tools like, a row for each value.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, StringArray, StringBuilder};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use super::internal;
use crate::compile::BREAKDOWN_OVERALL;
use crate::error::{Error, Result};
use crate::execute::{result_column, result_column_as};

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
    let find = |name: &str, data_type: &DataType| result_column_as(rows, name, data_type);
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
    let mut built = StringBuilder::new();
    // Rows of one breakdown follow each other, so its dimensions are looked up once.
    let mut names = None;
    let mut dimensions: Vec<(String, &ArrayRef, ArrayFormatter<'_>)> = Vec::new();
    let mut object = String::new();
    for row in 0..rows.num_rows() {
        if names != Some(breakdown.value(row)) {
            names = Some(breakdown.value(row));
            dimensions.clear();
            for name in breakdown.value(row).split(", ").filter(|name| *name != BREAKDOWN_OVERALL) {
                let column = result_column(rows, name)?;
                let formatter = ArrayFormatter::try_new(column.as_ref(), &options).map_err(internal)?;
                dimensions.push((json_text(name), column, formatter));
            }
        }
        object.clear();
        for (index, (name, column, formatter)) in dimensions.iter().enumerate() {
            let member = match column.is_null(row) {
                true => "null".to_owned(),
                false => json_text(&formatter.value(row).to_string()),
            };
            let separator = if index == 0 { '{' } else { ',' };
            object.push(separator);
            object.push_str(name);
            object.push(':');
            object.push_str(&member);
        }
        object.push_str(if dimensions.is_empty() { "{}" } else { "}" });
        built.append_value(&object);
    }
    Ok(Arc::new(built.finish()))
}

/// A text as JSON writes it.
fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
