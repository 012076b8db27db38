//! Cells from leaves: the groups of a fine set brought together into those of a coarser one, measure by measure.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Date32Array, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array,
};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{Result, exec_datafusion_err, internal_datafusion_err};
use datafusion::logical_expr::EmitTo;

use super::distinct::{Bits, Met};
use super::groups::Groups;
use super::leaves::Cell;
use super::measures::Measure;
use super::table::Table;
use super::values::Values;
use crate::time::{Calendar, Grain, from_epoch_days, to_epoch_days};

/// Which groups belong to which whole.
pub(super) struct Parts {
    /// The groups, those of the first whole first.
    order: Vec<u32>,
    /// Where in it the groups of each whole begin, and where the last ones end.
    starts: Vec<usize>,
}

impl Parts {
    pub fn new(whole_of: &[usize], count: usize) -> Parts {
        let mut starts = vec![0; count + 1];
        whole_of.iter().for_each(|whole| starts[whole + 1] += 1);
        for index in 0..count {
            starts[index + 1] += starts[index];
        }
        let mut next = starts.clone();
        let mut order = vec![0; whole_of.len()];
        for (group, whole) in whole_of.iter().enumerate() {
            order[next[*whole]] = group as u32;
            next[*whole] += 1;
        }
        Parts { order, starts }
    }

    /// How many wholes there are.
    pub fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// The groups of each whole.
    pub fn wholes(&self) -> impl Iterator<Item = &[u32]> {
        self.starts.windows(2).map(|ends| &self.order[ends[0]..ends[1]])
    }
}

/// A leaf whose rows have all come.
pub(super) struct Finished {
    pub groups: Groups,
    pub cells: Vec<usize>,
    /// By measure.
    pub states: Vec<(usize, State)>,
    pub values: Vec<Box<dyn Values>>,
}

/// What is kept of a measure.
pub(super) enum State {
    Aggregate(Vec<ArrayRef>),
    Count(Vec<i64>),
    Distinct(Met),
    /// The position of its values.
    Values(usize),
}

/// All leaves, with what is needed to roll them up.
pub(super) struct RollUp {
    pub leaves: Vec<Finished>,
    /// The members of each dimension by code.
    pub members: Vec<ArrayRef>,
    pub calendar: Calendar,
    pub cells: Vec<Cell>,
    pub measures: Vec<Measure>,
    pub schema: SchemaRef,
}

impl RollUp {
    pub fn new(
        table: Table,
        calendar: Calendar,
        cells: Vec<Cell>,
        measures: Vec<Measure>,
        schema: SchemaRef,
    ) -> Result<Self> {
        let (members, leaves) = table.finish()?;
        Ok(RollUp { leaves, members, calendar, cells, measures, schema })
    }

    /// The rows of one cell: its number, the first day of the period, the dimensions (NULL where the cell does not have
    /// them), the measures (NULL where they are not wanted there).
    pub fn cell(&self, number: usize, bits: &mut Bits) -> Result<RecordBatch> {
        let cell = &self.cells[number];
        let leaf = self.leaves.iter().find(|leaf| leaf.cells.contains(&number));
        let leaf = leaf.ok_or_else(|| internal_datafusion_err!("cell {number} has no leaf"))?;

        let dimensions: Vec<usize> = cell.dimensions.iter().copied().collect();
        let mut wholes = Groups::new(&dimensions);
        let mut whole_of = Vec::with_capacity(leaf.groups.len());
        let mut codes = vec![0; self.members.len()];
        let mut periods = Periods { calendar: &self.calendar, grain: cell.grain, last: None };
        for group in 0..leaf.groups.len() {
            leaf.groups.codes(group, &mut codes);
            let period = periods.start(leaf.groups.period(group))?;
            whole_of.push(wholes.number(period, |dimension| codes[dimension])? as usize);
        }
        let count = wholes.len();
        let parts = Parts::new(&whole_of, count);

        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from_value(number as u32, count)),
            Arc::new((0..count).map(|whole| Some(wholes.period(whole))).collect::<Date32Array>()),
        ];
        let mut own: Vec<Vec<u32>> = vec![Vec::with_capacity(count); dimensions.len()];
        for whole in 0..count {
            wholes.codes(whole, &mut codes);
            dimensions.iter().zip(&mut own).for_each(|(dimension, own)| own.push(codes[*dimension]));
        }
        let mut own = own.into_iter();
        for (dimension, members) in self.members.iter().enumerate() {
            columns.push(match cell.dimensions.contains(&dimension) {
                true => take(members, &UInt32Array::from(own.next().unwrap_or_default()), None)?,
                false => new_null_array(members.data_type(), count),
            });
        }
        for (index, measure) in self.measures.iter().enumerate() {
            let wanted = leaf.states.iter().find(|(of, _)| *of == index && cell.measures.contains(&index));
            columns.push(match wanted {
                None => new_null_array(measure.function.field().data_type(), count),
                Some((_, State::Aggregate(state))) => {
                    let mut whole = measure.function.create_groups_accumulator()?;
                    whole.merge_batch(state, &whole_of, count)?;
                    whole.evaluate(EmitTo::All)?
                }
                Some((_, State::Count(counts))) => {
                    let mut whole = vec![0; count];
                    counts.iter().zip(&whole_of).for_each(|(count, of)| whole[*of] += count);
                    Arc::new(Int64Array::from(whole))
                }
                Some((_, State::Distinct(met))) => Arc::new(Int64Array::from(met.count(&parts, bits))),
                Some((_, State::Values(values))) => leaf.values[*values].evaluate(&parts, &measure.function)?,
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }
}

/// The first days of periods. Rows mostly come in the order of their days.
pub(super) struct Periods<'a> {
    pub calendar: &'a Calendar,
    pub grain: Grain,
    /// The days of the period met last.
    pub last: Option<(i32, i32)>,
}

impl Periods<'_> {
    #[inline]
    pub fn start(&mut self, day: i32) -> Result<i32> {
        if self.grain == Grain::Day {
            return Ok(day);
        }
        match self.last {
            Some((start, end)) if (start..end).contains(&day) => Ok(start),
            _ => self.look_up(day),
        }
    }

    fn look_up(&mut self, day: i32) -> Result<i32> {
        let calendar = self.calendar;
        let ends = from_epoch_days(day).and_then(|day| {
            let start = calendar.period_start(day, self.grain)?;
            Some((to_epoch_days(start), to_epoch_days(calendar.period_end(start, self.grain)?)))
        });
        let (start, end) = ends.ok_or_else(|| exec_datafusion_err!("day {day} lies in no {}", self.grain))?;
        self.last = Some((start, end));
        Ok(start)
    }
}
