//! How the values of a KPI differ between two versions, whatever its columns are in each.
//!
//! Rows are compared in the long form of `kpi_values`, so that dimensions may come and go. It compares and explains nothing.

use std::collections::HashMap;

use chrono::NaiveDate;
use datafusion::arrow::array::{Array, AsArray, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{Date32Type, Float64Type};

use super::kpi_values;
use crate::error::{Error, Result};
use crate::time::from_epoch_days;

/// How two results of a KPI differ.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Difference {
    /// Values that are others than before.
    pub changed: usize,
    pub added: usize,
    pub gone: usize,
    /// All of these, the largest changes first.
    pub values: Vec<ValueDifference>,
}

/// One value that is not as it was.
#[derive(Debug, Clone, PartialEq)]
pub struct ValueDifference {
    pub grain: String,
    pub period_start: NaiveDate,
    pub breakdown: String,
    /// The members, as a JSON object.
    pub members: String,
    /// `None` where there was no such row; the value in it may be missing as well.
    pub before: Option<Option<f64>>,
    pub after: Option<Option<f64>>,
}

impl ValueDifference {
    /// How far the values are apart in relation to the larger; what is on one side only is as far as can be.
    fn extent(&self) -> f64 {
        match (self.before.flatten(), self.after.flatten()) {
            (Some(before), Some(after)) => (after - before).abs() / before.abs().max(after.abs()),
            _ => f64::INFINITY,
        }
    }
}

/// Whether a value is another one by more than the order in which a machine adds up parts may do.
pub fn is_same_value(before: Option<f64>, after: Option<f64>) -> bool {
    const NOISE: f64 = 1e-12;
    match (before, after) {
        (Some(before), Some(after)) => {
            before == after || (before - after).abs() <= NOISE * before.abs().max(after.abs())
        }
        (before, after) => before == after,
    }
}

/// Compares two results of a KPI.
///
/// # Errors
/// `Internal` where a column that every KPI has is missing.
pub fn difference(before: &RecordBatch, after: &RecordBatch) -> Result<Difference> {
    let (before, after) = (Rows::of(before)?, Rows::of(after)?);
    let mut old: HashMap<Key<'_>, usize> = (0..before.count()).map(|row| (before.key(row), row)).collect();
    let mut found = Difference::default();
    for row in 0..after.count() {
        let value = after.value(row);
        match old.remove(&after.key(row)).map(|row| before.value(row)) {
            Some(known) if is_same_value(known, value) => {}
            Some(known) => {
                found.changed += 1;
                found.values.push(after.difference(row, Some(known), Some(value))?);
            }
            None => {
                found.added += 1;
                found.values.push(after.difference(row, None, Some(value))?);
            }
        }
    }
    found.gone = old.len();
    for row in old.into_values() {
        found.values.push(before.difference(row, Some(before.value(row)), None)?);
    }
    let order = |value: &ValueDifference| (value.grain.clone(), value.period_start, value.members.clone());
    found
        .values
        .sort_by(|one, other| other.extent().total_cmp(&one.extent()).then_with(|| order(one).cmp(&order(other))));
    Ok(found)
}

/// Grain, first day, breakdown, members.
type Key<'a> = (&'a str, i32, &'a str, &'a str);

/// Rows in the long form.
struct Rows {
    rows: RecordBatch,
}

impl Rows {
    fn of(rows: &RecordBatch) -> Result<Rows> {
        Ok(Rows { rows: kpi_values(rows)? })
    }

    fn count(&self) -> usize {
        self.rows.num_rows()
    }

    fn text(&self, column: &str, row: usize) -> &str {
        let texts: Option<&StringArray> = self.rows.column_by_name(column).and_then(|column| column.as_string_opt());
        texts.filter(|texts| texts.is_valid(row)).map_or("", |texts| texts.value(row))
    }

    fn day(&self, row: usize) -> i32 {
        let days = self.rows.column_by_name("period_start").and_then(|days| days.as_primitive_opt::<Date32Type>());
        days.map_or(0, |days| days.value(row))
    }

    fn value(&self, row: usize) -> Option<f64> {
        let values = self.rows.column_by_name("value").and_then(|values| values.as_primitive_opt::<Float64Type>());
        values.filter(|values| values.is_valid(row)).map(|values| values.value(row))
    }

    fn key(&self, row: usize) -> Key<'_> {
        (self.text("grain", row), self.day(row), self.text("breakdown", row), self.text("members", row))
    }

    fn difference(
        &self,
        row: usize,
        before: Option<Option<f64>>,
        after: Option<Option<f64>>,
    ) -> Result<ValueDifference> {
        let (grain, day, breakdown, members) = self.key(row);
        let period_start = from_epoch_days(day).ok_or_else(|| Error::internal(format!("{day} is no day")))?;
        let (grain, breakdown, members) = (grain.to_owned(), breakdown.to_owned(), members.to_owned());
        Ok(ValueDifference { grain, period_start, breakdown, members, before, after })
    }
}
