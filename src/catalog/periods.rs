//! `periods`: the calendar of a project as a table, so that a period without rows can still be a row.

use std::sync::Arc;

use chrono::NaiveDate;
use datafusion::arrow::array::{Date32Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::TableProvider;
use datafusion::common::Result;
use datafusion::datasource::MemTable;

use crate::time::{Calendar, Grain, to_epoch_days};

/// The name of the table.
pub const PERIODS: &str = "periods";

/// The first and the last day that `periods` knows. Data outside of it is a mistake in the data.
pub fn known_days() -> (NaiveDate, NaiveDate) {
    let day = |year, month, day| NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default();
    (day(1950, 1, 1), day(2149, 12, 31))
}

/// `grain, period_start, period_end` of every period from 1950 to 2149.
pub fn periods(calendar: &Calendar) -> Result<Arc<dyn TableProvider>> {
    let (first, last) = known_days();
    let (mut grains, mut starts, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for grain in Grain::ALL {
        let mut next = calendar.period_start(first, grain);
        while let Some(start) = next.filter(|start| *start <= last) {
            next = calendar.period_end(start, grain);
            grains.push(grain.name());
            starts.push(to_epoch_days(start));
            ends.push(next.map(to_epoch_days));
        }
    }
    let fields = [("grain", DataType::Utf8), ("period_start", DataType::Date32), ("period_end", DataType::Date32)];
    let schema = Arc::new(Schema::new(fields.map(|(name, data_type)| Field::new(name, data_type, true)).to_vec()));
    let rows = RecordBatch::try_new(
        schema.clone(),
        vec![
            Arc::new(StringArray::from(grains)),
            Arc::new(Date32Array::from(starts)),
            Arc::new(Date32Array::from(ends)),
        ],
    )?;
    Ok(Arc::new(MemTable::try_new(schema, vec![vec![rows]])?))
}
