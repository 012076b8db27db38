//! A result of which some periods are new: these in the place of what was published for them, everything else as it was.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use chrono::NaiveDate;
use datafusion::arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, Date32Type, Int64Type, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::parquet::errors::ParquetError;

use crate::compile::{Cell, OBSERVATIONS, PERIOD_START, breakdown};
use crate::days::DayRanges;
use crate::error::{Error, Result};
use crate::execute::{query_error, result_column, result_column_as};
use crate::materialize::parquet::{Encoder, Stored};
use crate::plan::ByGrain;
use crate::time::{Calendar, from_epoch_days, to_epoch_days};

/// A result put together.
pub(super) struct Patched {
    pub parts: Vec<Part>,
    /// How many rows it has.
    pub rows: usize,
    /// The published rows that are no longer in it.
    pub replaced: RecordBatch,
}

/// Rows of a result, in its order.
pub(super) enum Part {
    /// A group of the published file, which nobody need read.
    Kept {
        group: usize,
        cell: Cell,
    },
    Rows(RecordBatch),
}

impl Patched {
    /// The rows that were read or computed, and those of the kept groups that are asked for.
    pub fn read(&self, published: &Stored, is_asked: impl Fn(&Cell) -> bool) -> Result<RecordBatch> {
        let mut rows = Vec::new();
        for part in &self.parts {
            match part {
                Part::Rows(own) => rows.push(own.clone()),
                Part::Kept { group, cell } if is_asked(cell) => {
                    rows.extend(published.read(vec![*group]).map_err(unreadable)?)
                }
                Part::Kept { .. } => {}
            }
        }
        concat_batches(&self.replaced.schema(), &rows).map_err(failed)
    }

    /// The result as a file, beside the published one.
    pub fn encode(&self, published: &Stored) -> Result<Vec<u8>> {
        let mut encoder = Encoder::new(published.schema())?;
        for part in &self.parts {
            match part {
                Part::Kept { group, .. } => encoder.keep(published, *group)?,
                Part::Rows(rows) => encoder.add(rows)?,
            }
        }
        encoder.finish()
    }
}

/// The published rows with those of the touched periods replaced; `None` where the two have other columns, or the published
/// rows are in no order that this knows. Groups that no touched period lies in are read where `reads_all` asks for it only.
pub(super) fn patched(
    cells: &[Cell],
    touched: &ByGrain,
    calendar: &Calendar,
    published: &Stored,
    new: &RecordBatch,
    reads_all: bool,
) -> Result<Option<Patched>> {
    if published.schema().fields() != new.schema().fields() {
        return Ok(None);
    }
    let everything = DayRanges::all();
    let days_of = |grain| touched.get(&grain).unwrap_or(&everything).whole_periods(grain, calendar);
    let touched: Vec<DayRanges> = cells.iter().map(|cell| days_of(cell.grain)).collect();
    let Some(mut old) = pieces(cells, &touched, published, reads_all)? else { return Ok(None) };
    let new = Arc::new(Sorted::of(new)?);
    let mut patching =
        Patching { schema: new.rows.schema(), parts: Vec::new(), loose: Vec::new(), replaced: Vec::new() };
    let mut new_row = 0;
    for (index, cell) in cells.iter().enumerate() {
        let mut own: VecDeque<Piece> = std::mem::take(&mut old[index]);
        let new_end = new.end_of(cell, new_row);
        for (first, last) in touched[index].iter() {
            while let Some(kept) = take_before(&mut own, first) {
                patching.add(kept, cell)?;
            }
            let taken = new.up_to(last, new_row, new_end);
            patching.add(Piece::Rows { rows: new.clone(), start: new_row, end: taken }, cell)?;
            new_row = taken;
            while let Some(gone) = take_up_to(&mut own, last) {
                patching.replace(gone);
            }
        }
        for kept in own {
            patching.add(kept, cell)?;
        }
        if new_row != new_end {
            return Err(Error::internal("a result has rows of periods that were not asked for"));
        }
    }
    if new_row != new.rows.num_rows() {
        return Err(Error::internal("a result has rows of cells that were not asked for"));
    }
    patching.finish(published).map(Some)
}

/// Published rows of one cell.
enum Piece {
    /// A group, with the last of its days.
    Group {
        group: usize,
        last: NaiveDate,
    },
    Rows {
        rows: Arc<Sorted>,
        start: usize,
        end: usize,
    },
}

/// The published rows by cell, as groups where no touched period lies in them; `None` where they are in another order.
fn pieces(
    cells: &[Cell],
    touched: &[DayRanges],
    published: &Stored,
    reads_all: bool,
) -> Result<Option<Vec<VecDeque<Piece>>>> {
    let untouched = |group: usize| -> Option<(usize, NaiveDate, NaiveDate)> {
        let grain = published.only_text(group, "grain")?;
        let its_breakdown = published.only_text(group, "breakdown")?;
        let is_its = |cell: &Cell| cell.grain.name() == grain && breakdown(&cell.dimensions) == its_breakdown;
        let cell = cells.iter().position(is_its)?;
        let (first, last) = published.days(group, PERIOD_START)?;
        let (first, last) = (from_epoch_days(first)?, from_epoch_days(last)?);
        (!reads_all && !touched[cell].meets(&DayRanges::of(first, last))).then_some((cell, first, last))
    };
    let by_cell = cells.iter().map(|_| VecDeque::new()).collect();
    let mut pieces = Pieces { cells, by_cell, cell: 0, last: NaiveDate::MIN, is_in_order: true };
    let mut waiting = Vec::new();
    for group in 0..published.groups() {
        match untouched(group) {
            Some((cell, first, last)) => {
                pieces.read(published, std::mem::take(&mut waiting))?;
                pieces.begin(cell, first, last);
                pieces.by_cell[cell].push_back(Piece::Group { group, last });
            }
            None => waiting.push(group),
        }
    }
    pieces.read(published, waiting)?;
    Ok(pieces.is_in_order.then_some(pieces.by_cell))
}

/// Published rows on their way into their cells.
struct Pieces<'a> {
    cells: &'a [Cell],
    by_cell: Vec<VecDeque<Piece>>,
    /// The cell and the period of the last row so far.
    cell: usize,
    last: NaiveDate,
    is_in_order: bool,
}

impl Pieces<'_> {
    /// Notes that rows of a cell come, from one period to another.
    fn begin(&mut self, cell: usize, first: NaiveDate, last: NaiveDate) {
        self.is_in_order &= cell > self.cell || (cell == self.cell && first >= self.last);
        (self.cell, self.last) = (cell, last);
    }

    /// Reads some groups, and puts their rows to their cells.
    fn read(&mut self, published: &Stored, groups: Vec<usize>) -> Result<()> {
        if groups.is_empty() {
            return Ok(());
        }
        let rows = published.read(groups).map_err(unreadable)?;
        let rows = Arc::new(Sorted::of(&concat_batches(published.schema(), &rows).map_err(failed)?)?);
        let (mut start, mut cell) = (0, self.cell);
        while start < rows.periods.len() {
            let end = rows.end_of(&self.cells[cell], start);
            if start < end {
                self.is_in_order &= rows.periods[start..end].is_sorted();
                self.begin(cell, rows.period(start), rows.period(end - 1));
                self.by_cell[cell].push_back(Piece::Rows { rows: rows.clone(), start, end });
                start = end;
            } else if cell + 1 < self.cells.len() {
                cell += 1;
            } else {
                self.is_in_order = false;
                break;
            }
        }
        Ok(())
    }
}

/// Takes the next of the pieces, or the part of it, whose periods lie before a day; `None` where there is none.
fn take_before(pieces: &mut VecDeque<Piece>, day: NaiveDate) -> Option<Piece> {
    match pieces.front_mut()? {
        Piece::Group { last, .. } => (*last < day).then(|| pieces.pop_front()).flatten(),
        Piece::Rows { rows, start, end } => {
            let until = rows.before(day, *start, *end);
            take_rows(pieces, until)
        }
    }
}

/// The same of rows that were read, up to a day and with it. In a group that was not, no touched period lies.
fn take_up_to(pieces: &mut VecDeque<Piece>, day: NaiveDate) -> Option<Piece> {
    match pieces.front_mut()? {
        Piece::Group { .. } => None,
        Piece::Rows { rows, start, end } => {
            let until = rows.up_to(day, *start, *end);
            take_rows(pieces, until)
        }
    }
}

/// Takes the first rows of the next piece.
fn take_rows(pieces: &mut VecDeque<Piece>, until: usize) -> Option<Piece> {
    let Piece::Rows { rows, start, end } = pieces.front_mut()? else { return None };
    if until == *end {
        return pieces.pop_front();
    }
    let from = std::mem::replace(start, until);
    (from < until).then(|| Piece::Rows { rows: rows.clone(), start: from, end: until })
}

/// Puts the parts of a result behind each other.
struct Patching {
    schema: SchemaRef,
    parts: Vec<Part>,
    /// Rows behind the last part, which become one.
    loose: Vec<RecordBatch>,
    replaced: Vec<RecordBatch>,
}

impl Patching {
    fn add(&mut self, piece: Piece, cell: &Cell) -> Result<()> {
        match piece {
            Piece::Rows { rows, start, end } => self.loose.push(rows.rows.slice(start, end - start)),
            Piece::Group { group, .. } => {
                self.together()?;
                self.parts.push(Part::Kept { group, cell: cell.clone() });
            }
        }
        Ok(())
    }

    fn replace(&mut self, piece: Piece) {
        if let Piece::Rows { rows, start, end } = piece {
            self.replaced.push(rows.rows.slice(start, end - start));
        }
    }

    fn together(&mut self) -> Result<()> {
        let rows = concat_batches(&self.schema, &std::mem::take(&mut self.loose)).map_err(failed)?;
        if rows.num_rows() > 0 {
            self.parts.push(Part::Rows(rows));
        }
        Ok(())
    }

    fn finish(mut self, published: &Stored) -> Result<Patched> {
        self.together()?;
        let count = |part: &Part| match part {
            Part::Kept { group, .. } => published.rows_of(*group),
            Part::Rows(rows) => rows.num_rows(),
        };
        let rows = self.parts.iter().map(count).sum();
        let replaced = concat_batches(&self.schema, &self.replaced).map_err(failed)?;
        Ok(Patched { parts: self.parts, rows, replaced })
    }
}

/// Whether a KPI with a row for each member in every period has got or lost a member, or may have: a member without an
/// observation in any period may have had its rows in one that is no longer there.
pub(super) fn has_other_members(cells: &[Cell], published: &RecordBatch, patched: &RecordBatch) -> Result<bool> {
    let (old, new) = (Sorted::of(published)?, Sorted::of(patched)?);
    let observations = result_column_as(patched, OBSERVATIONS, &DataType::Int64)?;
    let observations: &Int64Array = observations.as_primitive::<Int64Type>();
    let is_seen = |row: usize| observations.is_valid(row) && observations.value(row) > 0;
    let (mut old_row, mut new_row) = (0, 0);
    for cell in cells {
        let (old_end, new_end) = (old.end_of(cell, old_row), new.end_of(cell, new_row));
        if !cell.dimensions.is_empty() {
            // One converter for all, so that members can be compared.
            let members = Members::of(cell, published)?;
            let before = members.among(published, old_row..old_end)?;
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
        let columns = cell.dimensions.iter().map(|name| result_column(rows, name));
        let fields = columns.map(|column| Ok(SortField::new(column?.data_type().clone()))).collect::<Result<_>>()?;
        Ok(Members { cell, converter: RowConverter::new(fields).map_err(failed)? })
    }

    fn among(&self, all: &RecordBatch, rows: impl Iterator<Item = usize>) -> Result<HashSet<OwnedRow>> {
        let columns =
            self.cell.dimensions.iter().map(|name| result_column(all, name).cloned()).collect::<Result<Vec<_>>>()?;
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
struct Sorted {
    rows: RecordBatch,
    grains: StringArray,
    breakdowns: StringArray,
    /// Days since 1970-01-01.
    periods: Vec<i32>,
}

impl Sorted {
    fn of(rows: &RecordBatch) -> Result<Sorted> {
        let texts = |name: &str| -> Result<StringArray> {
            Ok(result_column_as(rows, name, &DataType::Utf8)?.as_string().clone())
        };
        let periods = result_column_as(rows, PERIOD_START, &DataType::Date32)?;
        let periods = periods.as_primitive::<Date32Type>().values().to_vec();
        Ok(Sorted { rows: rows.clone(), grains: texts("grain")?, breakdowns: texts("breakdown")?, periods })
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

fn unreadable(error: ParquetError) -> Error {
    Error::storage("a published file cannot be read").with_source(error)
}

fn failed(error: ArrowError) -> Error {
    query_error(error.into())
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Date32Array;
    use datafusion::arrow::datatypes::{Field, Schema};

    use datafusion::arrow::array::ArrayRef;

    use super::*;
    use crate::generate::Random;
    use crate::time::Grain;

    type Row = (usize, i32, i64);

    fn cells() -> Vec<Cell> {
        let cell = |grain, dimensions: &[&str]| Cell {
            grain,
            dimensions: dimensions.iter().map(|name| (*name).to_owned()).collect(),
        };
        vec![
            cell(Grain::Day, &[]),
            cell(Grain::Day, &["region"]),
            cell(Grain::Month, &[]),
            cell(Grain::Month, &["region"]),
        ]
    }

    fn batch(rows: &[Row]) -> RecordBatch {
        let cells = cells();
        let texts = |text: &dyn Fn(&Cell) -> String| -> ArrayRef {
            Arc::new(rows.iter().map(|row| Some(text(&cells[row.0]))).collect::<StringArray>())
        };
        let fields = [
            ("grain", DataType::Utf8),
            (PERIOD_START, DataType::Date32),
            ("breakdown", DataType::Utf8),
            ("value", DataType::Int64),
        ];
        let fields = fields.into_iter().map(|(name, data_type)| Field::new(name, data_type, true));
        let columns: Vec<ArrayRef> = vec![
            texts(&|cell| cell.grain.name().to_owned()),
            Arc::new(rows.iter().map(|row| Some(row.1)).collect::<Date32Array>()),
            texts(&|cell| breakdown(&cell.dimensions)),
            Arc::new(rows.iter().map(|row| Some(row.2)).collect::<Int64Array>()),
        ];
        RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns).unwrap()
    }

    /// Rows of some periods, of which a value tells where it came from.
    fn rows(random: &mut Random, value: i64) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for (index, cell) in cells().iter().enumerate() {
            for period in 0..40 {
                let members = if cell.dimensions.is_empty() { 1 } else { 3 };
                let length = if cell.grain == Grain::Day { 1 } else { 31 };
                if random.below(3) > 0 {
                    let start = Calendar::default().period_start(from_epoch_days(period * length).unwrap(), cell.grain);
                    rows.extend((0..members).map(|_| (index, to_epoch_days(start.unwrap()), value)));
                }
            }
        }
        rows
    }

    /// However the published rows lie in groups and whatever is touched: the touched periods are the new ones, the others stay,
    /// and no group is read in vain.
    #[test]
    fn touched_periods_are_new_and_all_others_stay() {
        let mut kept_at_all = 0;
        for seed in 0..100 {
            let mut random = Random::new(seed);
            let random = &mut random;
            let (old, new) = (rows(random, 1), rows(random, 2));
            let mut encoder = Encoder::new(&batch(&old).schema()).unwrap();
            let mut start = 0;
            while start < old.len() {
                let end = (start + random.between(1, 30) as usize).min(old.len());
                encoder.add_group(&batch(&old[start..end])).unwrap();
                start = end;
            }
            let published = Stored::open(encoder.finish().unwrap().into()).unwrap();
            let ranges = |random: &mut Random, length: i32| -> DayRanges {
                let range = |random: &mut Random| {
                    let first = random.between(-2, 42) as i32 * length;
                    let last = first + random.below(6) as i32 * length;
                    DayRanges::of(from_epoch_days(first).unwrap(), from_epoch_days(last).unwrap())
                };
                (0..random.below(4)).map(|_| range(random)).collect()
            };
            let touched: ByGrain = [(Grain::Day, ranges(random, 1)), (Grain::Month, ranges(random, 31))].into();
            let calendar = Calendar::default();
            let is_touched = |row: &Row| {
                let grain = cells()[row.0].grain;
                touched[&grain].whole_periods(grain, &calendar).contains(from_epoch_days(row.1).unwrap())
            };
            let new: Vec<Row> = new.into_iter().filter(is_touched).collect();
            let reads_all = random.below(4) == 0;
            let patched = patched(&cells(), &touched, &calendar, &published, &batch(&new), reads_all).unwrap().unwrap();
            let written = Stored::open(patched.encode(&published).unwrap().into()).unwrap();
            let read = written.read((0..written.groups()).collect()).unwrap();
            let mut expected: Vec<Row> = old.iter().filter(|row| !is_touched(row)).copied().collect();
            expected.extend(&new);
            expected.sort_by_key(|row| (row.0, row.1));
            assert_eq!(concat_batches(&batch(&old).schema(), &read).unwrap(), batch(&expected), "seed {seed}");
            let gone: Vec<Row> = old.iter().filter(|row| is_touched(row)).copied().collect();
            assert_eq!((patched.rows, &patched.replaced), (expected.len(), &batch(&gone)), "seed {seed}");
            let kept = patched.parts.iter().filter(|part| matches!(part, Part::Kept { .. })).count();
            assert!(!reads_all || kept == 0);
            kept_at_all += kept;
            let asked = patched.read(&published, |_| true).unwrap();
            assert_eq!(asked, batch(&expected), "seed {seed}");
        }
        assert!(kept_at_all > 300, "{kept_at_all} groups were kept");
    }

    #[test]
    fn rows_in_another_order_are_not_patched() {
        let published = |rows: &[Row]| {
            let mut encoder = Encoder::new(&batch(rows).schema()).unwrap();
            rows.iter().for_each(|row| encoder.add_group(&batch(&[*row])).unwrap());
            Stored::open(encoder.finish().unwrap().into()).unwrap()
        };
        let day = |days: i32| DayRanges::of(from_epoch_days(days).unwrap(), from_epoch_days(days).unwrap());
        let touched: ByGrain = [(Grain::Day, day(3)), (Grain::Month, DayRanges::none())].into();
        let is_patched = |rows: &[Row], reads_all| {
            let published = published(rows);
            patched(&cells(), &touched, &Calendar::default(), &published, &batch(&[]), reads_all).unwrap().is_some()
        };
        for reads_all in [false, true] {
            assert!(is_patched(&[(0, 1, 1), (0, 3, 1), (1, 1, 1)], reads_all));
            assert!(!is_patched(&[(1, 1, 1), (0, 3, 1)], reads_all));
            assert!(!is_patched(&[(1, 1, 1), (0, 1, 1)], reads_all));
        }
    }
}
