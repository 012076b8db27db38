//! A result of which some periods are new: these in the place of what was published for them, everything else as it was.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::NaiveDate;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::datatypes::{DataType, Date32Type, Int64Type};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;

use crate::compile::{Cell, OBSERVATIONS, PERIOD_START, breakdown};
use crate::days::DayRanges;
use crate::error::{Error, Result};
use crate::execute::query_error;
use crate::model::Kpi;
use crate::plan::{self, ByGrain};
use crate::time::{Calendar, from_epoch_days, to_epoch_days};

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
    let published = concat_batches(&new.schema(), published).map_err(failed)?;
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
    concat_batches(&new.rows.schema(), &parts).map(Some).map_err(failed)
}

/// Whether a KPI with a row for each member in every period has got or lost a member, or may have: a member without an
/// observation in any period may have had its rows in one that is no longer there.
pub(super) fn has_other_members(
    kpi: &Kpi,
    cells: &[Cell],
    published: &[RecordBatch],
    patched: &RecordBatch,
) -> Result<bool> {
    if !plan::is_filled_by_member(kpi) {
        return Ok(false);
    }
    let published = concat_batches(&patched.schema(), published).map_err(failed)?;
    let (old, new) = (Sorted::of(&published)?, Sorted::of(patched)?);
    let observations = column(patched, OBSERVATIONS, &DataType::Int64)?;
    let observations: &Int64Array = observations.as_primitive::<Int64Type>();
    let is_seen = |row: usize| observations.is_valid(row) && observations.value(row) > 0;
    let (mut old_row, mut new_row) = (0, 0);
    for cell in cells {
        let (old_end, new_end) = (old.end_of(cell, old_row), new.end_of(cell, new_row));
        if !cell.dimensions.is_empty() {
            // One converter for all, so that members can be compared.
            let members = Members::of(cell, &published)?;
            let before = members.among(&published, old_row..old_end)?;
            let now = members.among(patched, new_row..new_end)?;
            let seen = members.among(patched, (new_row..new_end).filter(|row| is_seen(*row)))?;
            if before != now || now != seen {
                return Ok(true);
            }
        }
        (old_row, new_row) = (old_end, new_end);
    }
    Ok(false)
}

/// The members of a cell in rows.
struct Members<'a> {
    cell: &'a Cell,
    converter: RowConverter,
}

impl Members<'_> {
    fn of<'a>(cell: &'a Cell, rows: &RecordBatch) -> Result<Members<'a>> {
        let columns = cell.dimensions.iter().map(|name| named(rows, name));
        let fields = columns.map(|column| Ok(SortField::new(column?.data_type().clone()))).collect::<Result<_>>()?;
        Ok(Members { cell, converter: RowConverter::new(fields).map_err(failed)? })
    }

    fn among(&self, all: &RecordBatch, rows: impl Iterator<Item = usize>) -> Result<HashSet<OwnedRow>> {
        let columns = self.cell.dimensions.iter().map(|name| named(all, name).cloned()).collect::<Result<Vec<_>>>()?;
        let keys = self.converter.convert_columns(&columns).map_err(failed)?;
        let different: HashSet<_> = rows.map(|row| keys.row(row)).collect();
        Ok(different.into_iter().map(|row| row.owned()).collect())
    }
}

/// The members that a published result has in each cell, as a table. In every period they are the same.
pub(super) fn known_members(cells: &[Cell], published: &[RecordBatch]) -> Result<Vec<(Cell, Arc<dyn TableProvider>)>> {
    let Some(first) = published.first() else { return Ok(Vec::new()) };
    let published = concat_batches(&first.schema(), published).map_err(failed)?;
    let sorted = Sorted::of(&published)?;
    let mut known = Vec::new();
    let mut start = 0;
    for cell in cells {
        let end = sorted.end_of(cell, start);
        if !cell.dimensions.is_empty() {
            let indices = cell.dimensions.iter().map(|name| published.schema().index_of(name));
            let indices = indices.collect::<std::result::Result<Vec<_>, _>>().map_err(failed)?;
            let of_first = if start < end { sorted.up_to(sorted.period(start), start, end) } else { end };
            let rows = published.slice(start, of_first - start).project(&indices).map_err(failed)?;
            let table = MemTable::try_new(rows.schema(), vec![vec![rows]]).map_err(query_error)?;
            known.push((cell.clone(), Arc::new(table) as Arc<dyn TableProvider>));
        }
        start = end;
    }
    Ok(known)
}

/// Rows by cell, then by period.
struct Sorted<'a> {
    rows: &'a RecordBatch,
    grains: StringArray,
    breakdowns: StringArray,
    /// Days since 1970-01-01.
    periods: Vec<i32>,
}

impl Sorted<'_> {
    fn of(rows: &RecordBatch) -> Result<Sorted<'_>> {
        let texts =
            |name: &str| -> Result<StringArray> { Ok(column(rows, name, &DataType::Utf8)?.as_string().clone()) };
        let periods = column(rows, PERIOD_START, &DataType::Date32)?;
        let periods = periods.as_primitive::<Date32Type>().values().to_vec();
        Ok(Sorted { rows, grains: texts("grain")?, breakdowns: texts("breakdown")?, periods })
    }

    /// The row behind the last one of a cell that begins at `start`.
    fn end_of(&self, cell: &Cell, start: usize) -> usize {
        let breakdown = breakdown(&cell.dimensions);
        let is_of =
            |row: &usize| self.grains.value(*row) == cell.grain.name() && self.breakdowns.value(*row) == breakdown;
        (start..self.periods.len()).find(|row| !is_of(row)).unwrap_or(self.periods.len())
    }

    fn period(&self, row: usize) -> NaiveDate {
        from_epoch_days(self.periods[row]).unwrap_or(NaiveDate::MAX)
    }

    /// The first row of some whose period does not lie before a day.
    fn before(&self, day: NaiveDate, start: usize, end: usize) -> usize {
        start + self.periods[start..end].partition_point(|period| *period < to_epoch_days(day))
    }

    /// The first row of some whose period lies behind a day.
    fn up_to(&self, day: NaiveDate, start: usize, end: usize) -> usize {
        start + self.periods[start..end].partition_point(|period| *period <= to_epoch_days(day))
    }
}

fn named<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    rows.column_by_name(name).ok_or_else(|| Error::internal(format!("the result has no `{name}`")))
}

fn column(rows: &RecordBatch, name: &str, data_type: &DataType) -> Result<ArrayRef> {
    cast(named(rows, name)?, data_type).map_err(failed)
}

fn failed(error: ArrowError) -> Error {
    query_error(error.into())
}
