//! `periods`: the calendar of a project as a table, so that a period without rows can still be a row.

use std::sync::Arc;

use chrono::NaiveDate;
use datafusion::arrow::array::{ArrayRef, AsArray, Date32Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Date32Type, Field, Schema, SchemaRef};
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

/// Every period from 1950 to 2149, by grain and in order.
#[derive(Debug, Clone)]
pub struct Periods {
    schema: SchemaRef,
    grains: Vec<(Grain, RecordBatch)>,
}

impl Periods {
    pub fn of(calendar: &Calendar) -> Result<Periods> {
        let columns = [("grain", DataType::Utf8), ("period_start", DataType::Date32), ("period_end", DataType::Date32)];
        let fields = columns.map(|(name, data_type)| Field::new(name, data_type, true));
        let schema = Arc::new(Schema::new(fields.to_vec()));
        let grains = Grain::ALL.iter().map(|grain| Ok((*grain, rows(&schema, calendar, *grain)?)));
        Ok(Periods { grains: grains.collect::<Result<_>>()?, schema })
    }

    /// All of them as a table: `grain, period_start, period_end`.
    pub fn table(&self) -> Result<Arc<dyn TableProvider>> {
        let rows = self.grains.iter().map(|(_, rows)| rows.clone()).collect();
        Ok(Arc::new(MemTable::try_new(self.schema.clone(), vec![rows])?))
    }

    /// The same table with the periods of one grain between two starts only, both included: a query that asks for no
    /// others need not look through two hundred years.
    pub fn between(&self, grain: Grain, first: NaiveDate, last: NaiveDate) -> Result<Arc<dyn TableProvider>> {
        let mut found = Vec::new();
        for (_, rows) in self.grains.iter().filter(|(known, _)| *known == grain) {
            let starts = rows.column(1).as_primitive::<Date32Type>().values();
            let from = starts.partition_point(|start| *start < to_epoch_days(first));
            let behind = starts.partition_point(|start| *start <= to_epoch_days(last));
            found.push(rows.slice(from, behind.saturating_sub(from)));
        }
        Ok(Arc::new(MemTable::try_new(self.schema.clone(), vec![found])?))
    }
}

fn rows(schema: &SchemaRef, calendar: &Calendar, grain: Grain) -> Result<RecordBatch> {
    let (first, last) = known_days();
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    let mut next = calendar.period_start(first, grain);
    while let Some(start) = next.filter(|start| *start <= last) {
        next = calendar.period_end(start, grain);
        starts.push(to_epoch_days(start));
        ends.push(next.map(to_epoch_days));
    }
    let grains = StringArray::from(vec![grain.name(); starts.len()]);
    let columns: Vec<ArrayRef> =
        vec![Arc::new(grains), Arc::new(Date32Array::from(starts)), Arc::new(Date32Array::from(ends))];
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}
