//! The comings and goings of rows in the order of groups and frames, and the values of each frame between them.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Decimal128Array, Float64Array, Int64Array, UInt32Array, UInt64Array,
};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, UInt64Type};
use datafusion::common::{Result, exec_err, internal_err};

use super::exact::ExactSum;
use super::{FrameDays, FrameMeasure, Function, Span};

/// What is kept of the rows.
pub(super) struct Rows {
    /// The group of each row.
    groups: Vec<u32>,
    /// When it comes and goes.
    stays: Vec<(i32, i32)>,
    /// For each measure what is added, or the numbers of the values that are counted.
    parts: Vec<Parts>,
}

/// What one measure adds for each row.
pub(super) enum Parts {
    /// Whole numbers and decimals.
    Whole(Vec<Option<i128>>),
    Float(Vec<Option<f64>>),
    /// The number of a value within its group, where it counts.
    Value(Vec<Option<u32>>),
}

/// The day on which a row goes that stays.
const NEVER: i32 = i32::MAX;

impl Rows {
    pub fn new(parts: Vec<Parts>) -> Rows {
        Rows { groups: Vec::new(), stays: Vec::new(), parts }
    }

    /// Adds rows with their groups, the days on which they come and go, and what is added of each.
    pub fn add(&mut self, groups: &[usize], comes: &ArrayRef, goes: &ArrayRef, parts: Vec<Parts>) -> Result<()> {
        let (comes, goes) = (cast(comes, &DataType::Date32)?, cast(goes, &DataType::Date32)?);
        let (comes, goes) = (comes.as_primitive::<Date32Type>(), goes.as_primitive::<Date32Type>());
        if comes.null_count() > 0 {
            return internal_err!("a row that comes on no day");
        }
        // Groups and values are no more than rows.
        if u32::try_from(self.groups.len() + groups.len()).is_err() {
            return exec_err!("more rows than can be numbered");
        }
        self.groups.extend(groups.iter().map(|group| *group as u32));
        self.stays.extend(comes.values().iter().zip(goes.iter()).map(|(comes, goes)| (*comes, goes.unwrap_or(NEVER))));
        for (all, further) in self.parts.iter_mut().zip(parts) {
            match (all, further) {
                (Parts::Whole(all), Parts::Whole(further)) => all.extend(further),
                (Parts::Float(all), Parts::Float(further)) => all.extend(further),
                (Parts::Value(all), Parts::Value(further)) => all.extend(further),
                _ => return internal_err!("a measure of two kinds"),
            }
        }
        Ok(())
    }

    /// About how many bytes it holds, or will hold once the comings and goings are sorted.
    pub fn size(&self, days: &FrameDays) -> usize {
        const STAY: usize = 12;
        let of_row: usize = self.parts.iter().map(Parts::size_of_one).sum();
        let of_values = self.parts.iter().filter(|parts| matches!(parts, Parts::Value(_))).count();
        let steps = 2 * size_of::<Step>() * (days.spans.len() + of_values);
        self.groups.len() * (STAY + of_row + steps)
    }
}

impl Parts {
    /// None yet, of the kind that a measure of this type adds.
    pub fn none_of(function: &Function, data_type: &DataType) -> Parts {
        match (function, data_type) {
            (Function::CountDistinct(..), _) => Parts::Value(Vec::new()),
            (Function::Sum(_), DataType::Float64) => Parts::Float(Vec::new()),
            (Function::Sum(_), _) => Parts::Whole(Vec::new()),
        }
    }

    /// What the values of a column add.
    pub fn of(array: &ArrayRef) -> Result<Parts> {
        Ok(match array.data_type() {
            DataType::Int64 => {
                Parts::Whole(array.as_primitive::<Int64Type>().iter().map(|n| n.map(i128::from)).collect())
            }
            DataType::UInt64 => {
                Parts::Whole(array.as_primitive::<UInt64Type>().iter().map(|n| n.map(i128::from)).collect())
            }
            DataType::Decimal128(..) => Parts::Whole(array.as_primitive::<Decimal128Type>().iter().collect()),
            DataType::Float64 => Parts::Float(array.as_primitive::<Float64Type>().iter().collect()),
            other => return internal_err!("{other} cannot be taken away again"),
        })
    }

    fn size_of_one(&self) -> usize {
        match self {
            Parts::Whole(_) => size_of::<Option<i128>>(),
            Parts::Float(_) => size_of::<Option<f64>>(),
            Parts::Value(_) => size_of::<Option<u32>>(),
        }
    }
}

/// Something comes or goes.
#[derive(Clone, Copy)]
struct Step {
    group: u32,
    frame: u32,
    row: u32,
    /// The position of a span, in which a row comes or goes; behind those, of a measure whose count goes up or down.
    what: u16,
    comes: bool,
}

/// The frames of a stay, the first one and the one behind the last.
fn frames_of(span: &Span, (comes, goes): (i32, i32)) -> (u32, u32) {
    let first = span.comes.partition_point(|frame| *frame < comes);
    let behind = if goes == NEVER { span.goes.len() } else { span.goes.partition_point(|frame| *frame < goes) };
    (first as u32, behind as u32)
}

/// All steps, by group and frame.
fn steps(rows: &Rows, measures: &[FrameMeasure], days: &FrameDays) -> Vec<Step> {
    let frames = days.starts.len() as u32;
    let mut steps = Vec::new();
    let mut note = |group: u32, row: u32, what: usize, (first, behind): (u32, u32)| {
        let step = |frame, comes| Step { group, frame, row, what: what as u16, comes };
        steps.push(step(first, true));
        // Nobody sees what goes behind the last frame.
        if behind < frames {
            steps.push(step(behind, false));
        }
    };
    for (what, span) in days.spans.iter().enumerate() {
        for (row, stay) in rows.stays.iter().enumerate() {
            let frames = frames_of(span, *stay);
            if frames.0 < frames.1 {
                note(rows.groups[row], row as u32, what, frames);
            }
        }
    }
    for (index, (measure, parts)) in measures.iter().zip(&rows.parts).enumerate() {
        let Parts::Value(values) = parts else { continue };
        let span = &days.spans[measure.span];
        let met = values.iter().enumerate().filter_map(|(row, value)| Some((row, (*value)?)));
        let mut stays: Vec<(u32, u32, u32, u32)> = met
            .map(|(row, value)| {
                let (first, behind) = frames_of(span, rows.stays[row]);
                (value, first, behind, row as u32)
            })
            .filter(|(_, first, behind, _)| first < behind)
            .collect();
        stays.sort_unstable();
        // A value that is there several times at once counts once.
        let mut stays = stays.into_iter().peekable();
        while let Some((value, first, mut behind, row)) = stays.next() {
            while let Some((.., further, _)) = stays.next_if(|(other, from, ..)| *other == value && *from <= behind) {
                behind = behind.max(further);
            }
            note(rows.groups[row as usize], row, days.spans.len() + index, (first, behind));
        }
    }
    steps.sort_unstable_by_key(|step| (u64::from(step.group) << 32) | u64::from(step.frame));
    steps
}

/// What a measure has come to.
enum Running {
    Whole { sum: i128, values: i64 },
    Float { sum: ExactSum, values: i64 },
    Count(i64),
}

impl Running {
    fn step(&mut self, parts: &Parts, row: usize, comes: bool) {
        let sign = if comes { 1 } else { -1 };
        match (self, parts) {
            (Running::Whole { sum, values }, Parts::Whole(parts)) => {
                if let Some(part) = parts[row] {
                    *sum = sum.wrapping_add(if comes { part } else { part.wrapping_neg() });
                    *values += sign;
                }
            }
            (Running::Float { sum, values }, Parts::Float(parts)) => {
                if let Some(part) = parts[row] {
                    sum.add(part, comes);
                    *values += sign;
                }
            }
            // Values are counted by steps of their own.
            _ => {}
        }
    }

    fn clear(&mut self) {
        match self {
            Running::Whole { sum, values } => (*sum, *values) = (0, 0),
            Running::Float { sum, values } => {
                sum.clear();
                *values = 0;
            }
            Running::Count(count) => *count = 0,
        }
    }
}

/// The values of one measure in the frames that are written.
enum Written {
    Whole(Vec<Option<i128>>),
    Float(Vec<Option<f64>>),
    Count(Vec<i64>),
}

impl Written {
    fn push(&mut self, running: &Running, times: usize) {
        match (self, running) {
            (Written::Whole(all), Running::Whole { sum, values }) => {
                all.extend(std::iter::repeat_n((*values > 0).then_some(*sum), times));
            }
            (Written::Float(all), Running::Float { sum, values }) => {
                all.extend(std::iter::repeat_n((*values > 0).then(|| sum.value()), times));
            }
            (Written::Count(all), Running::Count(count)) => all.extend(std::iter::repeat_n(*count, times)),
            _ => {}
        }
    }

    /// As a column. Whole numbers wrap around as DataFusion's sums do.
    fn into_array(self, data_type: &DataType) -> Result<ArrayRef> {
        let values = match self {
            Written::Count(values) => return Ok(Arc::new(Int64Array::from(values))),
            Written::Float(values) => return Ok(Arc::new(Float64Array::from(values))),
            Written::Whole(values) => values.into_iter(),
        };
        Ok(match data_type {
            DataType::UInt64 => Arc::new(values.map(|n| n.map(|n| n as u64)).collect::<UInt64Array>()),
            DataType::Decimal128(precision, scale) => {
                Arc::new(values.collect::<Decimal128Array>().with_precision_and_scale(*precision, *scale)?)
            }
            _ => Arc::new(values.map(|n| n.map(|n| n as i64)).collect::<Int64Array>()),
        })
    }
}

/// Walks through the groups, frame by frame.
pub(super) struct Walk {
    rows: Rows,
    days: Arc<FrameDays>,
    measures: Vec<FrameMeasure>,
    types: Vec<DataType>,
    /// The keys of each group.
    keys: Vec<ArrayRef>,
    steps: Vec<Step>,
    next: usize,
    group: u32,
    /// The frames up to the next step, in which nothing comes or goes.
    frame: u32,
    until: u32,
    running: Vec<Running>,
}

impl Walk {
    /// `types` are those of the measures.
    pub fn new(
        rows: Rows,
        keys: Vec<ArrayRef>,
        measures: Vec<FrameMeasure>,
        types: Vec<DataType>,
        days: Arc<FrameDays>,
    ) -> Walk {
        let running = rows.parts.iter().map(|parts| match parts {
            Parts::Whole(_) => Running::Whole { sum: 0, values: 0 },
            Parts::Float(_) => Running::Float { sum: ExactSum::default(), values: 0 },
            Parts::Value(_) => Running::Count(0),
        });
        let running = running.collect();
        let steps = steps(&rows, &measures, &days);
        Walk { rows, days, measures, types, keys, steps, next: 0, group: 0, frame: 0, until: 0, running }
    }

    /// The next frames as columns: the frame, the keys, the measures. `None` behind the last.
    pub fn batch(&mut self, most: usize) -> Result<Option<Vec<ArrayRef>>> {
        let mut starts: Vec<i32> = Vec::new();
        let mut groups: Vec<u32> = Vec::new();
        let written = self.running.iter().map(|running| match running {
            Running::Whole { .. } => Written::Whole(Vec::new()),
            Running::Float { .. } => Written::Float(Vec::new()),
            Running::Count(_) => Written::Count(Vec::new()),
        });
        let mut written: Vec<Written> = written.collect();
        while starts.len() < most {
            if self.frame == self.until && !self.step() {
                break;
            }
            let times = if self.has_rows() { (self.until - self.frame).min((most - starts.len()) as u32) } else { 0 };
            if times == 0 {
                self.frame = self.until;
                continue;
            }
            let range = self.frame as usize..(self.frame + times) as usize;
            starts.extend(&self.days.starts[range]);
            groups.extend(std::iter::repeat_n(self.group, times as usize));
            written.iter_mut().zip(&self.running).for_each(|(all, running)| all.push(running, times as usize));
            self.frame += times;
        }
        if starts.is_empty() {
            return Ok(None);
        }
        let groups = UInt32Array::from(groups);
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Date32Array::from(starts))];
        for key in &self.keys {
            columns.push(take(key, &groups, None)?);
        }
        for (written, data_type) in written.into_iter().zip(&self.types) {
            columns.push(written.into_array(data_type)?);
        }
        Ok(Some(columns))
    }

    /// Takes all steps of the next group and frame; false where there is none.
    fn step(&mut self) -> bool {
        let Some(first) = self.steps.get(self.next).copied() else { return false };
        if first.group != self.group {
            self.running.iter_mut().for_each(Running::clear);
        }
        let spans = self.days.spans.len();
        let is_same = |step: &Step| (step.group, step.frame) == (first.group, first.frame);
        while let Some(step) = self.steps.get(self.next).filter(|step| is_same(step)) {
            let what = usize::from(step.what);
            if what >= spans {
                if let Running::Count(count) = &mut self.running[what - spans] {
                    *count += if step.comes { 1 } else { -1 };
                }
            } else {
                for (index, running) in self.running.iter_mut().enumerate() {
                    if self.measures[index].span == what {
                        running.step(&self.rows.parts[index], step.row as usize, step.comes);
                    }
                }
            }
            self.next += 1;
        }
        (self.group, self.frame) = (first.group, first.frame);
        let of_group = self.steps.get(self.next).filter(|step| step.group == first.group);
        self.until = of_group.map_or(self.days.starts.len() as u32, |step| step.frame);
        true
    }

    /// Whether a row is there: the last measure says how many.
    fn has_rows(&self) -> bool {
        matches!(self.running.last(), Some(Running::Whole { sum: 1.., .. }))
    }
}
