//! A result of which some periods are new: these in the place of what was published for them, everything else as it was.

use chrono::NaiveDate;
use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::datatypes::{DataType, Date32Type};

use crate::compile::{Cell, PERIOD_START, breakdown};
use crate::days::DayRanges;
use crate::error::{Error, Result};
use crate::execute::query_error;
use crate::plan::ByGrain;
use crate::time::{Calendar, from_epoch_days};

/// The published rows with those of the touched periods replaced; `None` where the two have other columns, or the published
/// rows are in no order that this knows.
pub(super) fn patched(
    cells: &[Cell],
    touched: &ByGrain,
    calendar: &Calendar,
    published: &[RecordBatch],
    new: &RecordBatch,
) -> Result<Option<RecordBatch>> {
    let Some(first) = published.first() else { return Ok(None) };
    let columns = |rows: &RecordBatch| -> Vec<(String, DataType)> {
        let fields = rows.schema_ref().fields().iter();
        fields.map(|field| (field.name().clone(), field.data_type().clone())).collect()
    };
    if columns(first) != columns(new) {
        return Ok(None);
    }
    let published = concat_batches(&new.schema(), published).map_err(|error| query_error(error.into()))?;
    let (old, new) = (Sorted::of(&published)?, Sorted::of(new)?);
    let (mut old_row, mut new_row) = (0, 0);
    let mut parts = Vec::new();
    for cell in cells {
        let everything = DayRanges::all();
        let days = touched.get(&cell.grain).unwrap_or(&everything).whole_periods(cell.grain, calendar);
        let (old_end, new_end) = (old.end_of(cell, old_row), new.end_of(cell, new_row));
        for (first, last) in days.iter() {
            let kept = old.before(first, old_row, old_end);
            parts.push(published.slice(old_row, kept - old_row));
            old_row = old.up_to(last, kept, old_end);
            let taken = new.up_to(last, new_row, new_end);
            parts.push(new.rows.slice(new_row, taken - new_row));
            new_row = taken;
        }
        parts.push(published.slice(old_row, old_end - old_row));
        if new_row != new_end {
            return Err(Error::internal("a result has rows of periods that were not asked for"));
        }
        old_row = old_end;
    }
    if old_row != published.num_rows() || new_row != new.rows.num_rows() {
        return Ok(None);
    }
    concat_batches(&new.rows.schema(), &parts).map(Some).map_err(|error| query_error(error.into()))
}

/// Rows by cell, then by period.
struct Sorted<'a> {
    rows: &'a RecordBatch,
    grains: Vec<String>,
    breakdowns: Vec<String>,
    periods: Vec<NaiveDate>,
}

impl Sorted<'_> {
    fn of(rows: &RecordBatch) -> Result<Sorted<'_>> {
        let column = |name: &str, data_type: &DataType| {
            let column =
                rows.column_by_name(name).ok_or_else(|| Error::internal(format!("the result has no `{name}`")))?;
            cast(column, data_type).map_err(|error| query_error(error.into()))
        };
        let texts = |name: &str| -> Result<Vec<String>> {
            let column = column(name, &DataType::Utf8)?;
            Ok(column.as_string::<i32>().iter().map(|text| text.unwrap_or_default().to_owned()).collect())
        };
        let periods = column(PERIOD_START, &DataType::Date32)?;
        let periods = periods.as_primitive::<Date32Type>();
        let day = |index: usize| if periods.is_valid(index) { from_epoch_days(periods.value(index)) } else { None };
        let periods = (0..periods.len()).map(|index| day(index).unwrap_or(NaiveDate::MIN)).collect();
        Ok(Sorted { rows, grains: texts("grain")?, breakdowns: texts("breakdown")?, periods })
    }

    /// The row behind the last one of a cell that begins at `start`.
    fn end_of(&self, cell: &Cell, start: usize) -> usize {
        let breakdown = breakdown(&cell.dimensions);
        let is_of = |row: &usize| self.grains[*row] == cell.grain.name() && self.breakdowns[*row] == breakdown;
        (start..self.periods.len()).find(|row| !is_of(row)).unwrap_or(self.periods.len())
    }

    /// The first row of some whose period does not lie before a day.
    fn before(&self, day: NaiveDate, start: usize, end: usize) -> usize {
        start + self.periods[start..end].partition_point(|period| *period < day)
    }

    /// The first row of some whose period lies behind a day.
    fn up_to(&self, day: NaiveDate, start: usize, end: usize) -> usize {
        start + self.periods[start..end].partition_point(|period| *period <= day)
    }
}
