//! What a test on given rows expects, beside what came out.

use datafusion::arrow::array::{Array, AsArray, RecordBatch, StringArray};
use datafusion::arrow::compute::{CastOptions, cast, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Date32Type, Float64Type};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use super::{Examples, Failure};
use crate::compile::PERIOD_START;
use crate::error::{Error, Result};
use crate::execute::query_error;
use crate::model::ExpectedRow;
use crate::time::to_epoch_days;

/// How many of the rows that do exist are shown where one does not.
const ROWS_SHOWN: usize = 10;
/// By which part of itself a number may differ.
const TOLERANCE: f64 = 1e-9;

/// What is otherwise than expected; nothing where the row is there and holds what it must. `rows` are those of the row's
/// grain and dimensions.
///
/// # Errors
/// `Internal` where the result has no such columns.
pub fn unmet(expected: &ExpectedRow, rows: &RecordBatch) -> Result<Option<Failure>> {
    let Some(row) = find(expected, rows)? else {
        let message = match rows.num_rows() {
            0 => format!("there is no row for {}, and no other one", place(expected)),
            _ => format!("there is no row for {}, but these", place(expected)),
        };
        return Ok(Some(Failure { message, rows: None, examples: shown(expected, rows)? }));
    };
    let mut differences = Vec::new();
    for (name, wanted) in &expected.values {
        let column = rows.column_by_name(name).ok_or_else(|| no_column(name))?;
        if !is_same(column, row, wanted.as_deref())? {
            let found = text(column, row)?.unwrap_or_else(|| "null".to_owned());
            differences.push(format!("`{name}` is {found}, expected {}", wanted.as_deref().unwrap_or("null")));
        }
    }
    if differences.is_empty() {
        return Ok(None);
    }
    let message = format!("{}: {}", place(expected), differences.join("; "));
    Ok(Some(Failure { message, ..Failure::default() }))
}

/// `month 2025-01-01 with region = North`.
fn place(expected: &ExpectedRow) -> String {
    let members = expected.members.iter();
    let members: Vec<String> =
        members.map(|(name, member)| format!("{name} = {}", member.as_deref().unwrap_or("null"))).collect();
    let with = if members.is_empty() { String::new() } else { format!(" with {}", members.join(" and ")) };
    format!("{} {}{with}", expected.grain, expected.period_start)
}

fn find(expected: &ExpectedRow, rows: &RecordBatch) -> Result<Option<usize>> {
    let starts = rows.column_by_name(PERIOD_START).ok_or_else(|| no_column(PERIOD_START))?;
    let starts = starts.as_primitive::<Date32Type>();
    let start = to_epoch_days(expected.period_start);
    'rows: for row in (0..rows.num_rows()).filter(|row| starts.is_valid(*row) && starts.value(*row) == start) {
        for (name, member) in &expected.members {
            let column = rows.column_by_name(name).ok_or_else(|| no_column(name))?;
            if !is_same(column, row, member.as_deref())? {
                continue 'rows;
            }
        }
        return Ok(Some(row));
    }
    Ok(None)
}

/// Whether a value is what was written: numbers nearly, everything else exactly.
fn is_same(column: &dyn Array, row: usize, wanted: Option<&str>) -> Result<bool> {
    let Some(wanted) = wanted else { return Ok(column.is_null(row)) };
    if column.is_null(row) {
        return Ok(false);
    }
    if column.data_type().is_numeric() {
        let found = cast(&column.slice(row, 1), &DataType::Float64).map_err(|error| query_error(error.into()))?;
        let found = found.as_primitive::<Float64Type>().value(0);
        return Ok(wanted.trim().parse::<f64>().is_ok_and(|wanted| are_near(found, wanted)));
    }
    // Written in another way, a date or a time is still the same.
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let Ok(wanted) = cast_with_options(&StringArray::from(vec![wanted]), column.data_type(), &strict) else {
        return Ok(false);
    };
    Ok(text(column, row)? == text(&wanted, 0)?)
}

fn are_near(found: f64, wanted: f64) -> bool {
    found == wanted || (found - wanted).abs() <= TOLERANCE * found.abs().max(wanted.abs())
}

fn text(column: &dyn Array, row: usize) -> Result<Option<String>> {
    if column.is_null(row) {
        return Ok(None);
    }
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column, &options).map_err(|error| query_error(error.into()))?;
    Ok(Some(formatter.value(row).to_string()))
}

/// The rows that there are: period, members, and what the expectation is about.
fn shown(expected: &ExpectedRow, rows: &RecordBatch) -> Result<Examples> {
    let names = [PERIOD_START].into_iter();
    let names = names.chain(expected.members.iter().chain(&expected.values).map(|(name, _)| name.as_str()));
    let indexes = names.filter_map(|name| rows.schema_ref().index_of(name).ok()).collect::<Vec<_>>();
    let rows = rows.project(&indexes).map_err(|error| query_error(error.into()))?;
    Examples::of(&rows, ROWS_SHOWN)
}

fn no_column(name: &str) -> Error {
    Error::config(format!("the result has no column `{name}`"))
        .with_hint("a row has the columns of results, the KPI's aggregates and its dimensions")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_may_differ_by_a_billionth() {
        assert!(are_near(0.1 + 0.2, 0.3));
        assert!(are_near(0.0, 0.0));
        assert!(!are_near(1.0, 1.000_001));
        assert!(!are_near(0.0, 1e-12), "nothing is near to 0 but 0");
        assert!(!are_near(f64::NAN, 1.0));
    }
}
