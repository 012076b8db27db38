//! Rows as charts: which column goes across and which go up.

use std::collections::BTreeMap;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::datatypes::{DataType, Date32Type, Float64Type, SchemaRef};
use kpi::engine::Answer;
use kpi::error::{Error, Result};
use kpi::execute::{result_column, result_column_as};
use kpi::report::format_period;
use kpi::time::{Calendar, from_epoch_days};

use super::chart::{Chart, Series};
use super::grid::{Cells, NULL, is_number};

/// Columns of numbers that are drawn at most.
const SERIES_AT_MOST: usize = 6;

/// The first column that is no number across, else the first of all; the numbers up.
pub fn of_rows(schema: &SchemaRef, rows: &[RecordBatch]) -> Result<Chart> {
    let whole = concat_batches(schema, rows).map_err(unfit)?;
    let numbers: Vec<usize> =
        (0..schema.fields().len()).filter(|index| is_number(schema.field(*index).data_type())).collect();
    let across = (0..schema.fields().len()).find(|index| !numbers.contains(index)).or_else(|| {
        // Numbers alone: the first may be the axis of the others.
        (numbers.len() > 1).then(|| numbers[0])
    });
    let labels = match across.and_then(|index| Cells::of(whole.column(index))) {
        Some(cells) => (0..whole.num_rows()).map(|row| cells.text(row)).collect(),
        None => (1..=whole.num_rows()).map(|row| row.to_string()).collect(),
    };
    let series = numbers.into_iter().filter(|index| Some(*index) != across).take(SERIES_AT_MOST).map(|index| {
        let values = numbers_of(whole.column(index))?;
        Ok(Series { name: schema.field(index).name().clone(), values })
    });
    let series = series.collect::<Result<Vec<_>>>()?;
    if series.is_empty() {
        return Err(Error::config("the last result has no column of numbers to draw"));
    }
    Ok(Chart { labels, series })
}

/// Periods across; a line for each group. Periods without a row are gaps.
pub fn of_answer(answer: &Answer, calendar: &Calendar) -> Result<Chart> {
    let column = |name: &str| result_column(&answer.rows, name);
    let starts = result_column_as(&answer.rows, "period_start", &DataType::Date32)?;
    let starts = starts.as_primitive::<Date32Type>();
    let values = numbers_of(column("value")?)?;
    let members: Vec<_> = answer.cell.dimensions.iter().map(|name| Ok(column(name)?.clone())).collect::<Result<_>>()?;
    let members: Vec<Cells> = members.iter().filter_map(|member| Cells::of(member)).collect();
    let mut periods: Vec<i32> = starts.iter().flatten().collect();
    periods.sort_unstable();
    periods.dedup();
    let mut series: BTreeMap<String, Vec<Option<f64>>> = BTreeMap::new();
    for (row, value) in values.iter().enumerate() {
        if starts.is_null(row) {
            continue;
        }
        let name = match members.is_empty() {
            true => answer.kpi.name.clone(),
            false => members.iter().map(|member| named(member.text(row))).collect::<Vec<_>>().join(", "),
        };
        let index = periods.binary_search(&starts.value(row)).unwrap_or(0);
        series.entry(name).or_insert_with(|| vec![None; periods.len()])[index] = *value;
    }
    let complete = result_column_as(&answer.rows, "is_complete", &DataType::Boolean)?;
    let complete = complete.as_boolean();
    let is_open =
        |start: i32| (0..answer.rows.num_rows()).any(|row| starts.value(row) == start && !complete.value(row));
    // The last period may not be over, and what it has is not all that it will have.
    let last = periods.last().copied().filter(|last| is_open(*last));
    let label = |start: &i32| {
        let name = from_epoch_days(*start).map(|start| format_period(start, answer.cell.grain, calendar));
        let open = if Some(*start) == last { " (open)" } else { "" };
        format!("{}{open}", name.unwrap_or_default())
    };
    let mut series: Vec<Series> = series.into_iter().map(|(name, values)| Series { name, values }).collect();
    // The largest are told apart, the others may be left out.
    let size = |series: &Series| series.values.iter().flatten().map(|value| value.abs()).fold(0.0, f64::max);
    series.sort_by(|one, other| size(other).total_cmp(&size(one)).then_with(|| one.name.cmp(&other.name)));
    Ok(Chart { labels: periods.iter().map(label).collect(), series })
}

/// Whose name is missing.
fn named(member: String) -> String {
    if member == NULL { "(none)".to_owned() } else { member }
}

fn numbers_of(column: &dyn Array) -> Result<Vec<Option<f64>>> {
    let numbers = cast(column, &DataType::Float64).map_err(unfit)?;
    Ok(numbers.as_primitive::<Float64Type>().iter().collect())
}

fn unfit(error: datafusion::arrow::error::ArrowError) -> Error {
    Error::internal("the result cannot be drawn").with_source(error)
}
