//! Which days a query reads, as conditions on the time column itself, so that files and row groups can be skipped.

use chrono::{Days, NaiveDate};
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, lit};

use crate::functions::local_date;
use crate::time::{Calendar, to_epoch_days};

/// The days of interest, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub since: Option<NaiveDate>,
    /// Rows of later days do not exist yet: the day that `--as-of` fixes, or today.
    pub until: NaiveDate,
}

/// The days that the data of a KPI covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The day of the first row.
    pub first: NaiveDate,
    /// The last day that has rows or is known to have none.
    pub last: NaiveDate,
    /// The last day of which everything is known; a period that ends behind it is open.
    pub complete_until: NaiveDate,
    /// The last whole day of the calendar as the run sees it. A period that ends behind it is still running, however far
    /// the data reaches.
    pub calendar_until: NaiveDate,
}

impl Extent {
    /// The days of a value that needs both.
    pub fn together(self, other: Extent) -> Extent {
        Extent {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
            complete_until: self.complete_until.min(other.complete_until),
            calendar_until: self.calendar_until.min(other.calendar_until),
        }
    }
}

impl Bounds {
    /// The condition that `time` lies within the bounds. A row without time never does.
    pub fn condition(&self, time: &Expr, time_type: &DataType, calendar: &Calendar) -> Expr {
        let behind = self.until.checked_add_days(Days::new(1)).unwrap_or(NaiveDate::MAX);
        let until = match start_of(behind, time_type, calendar) {
            Some(behind) => time.clone().lt(lit(behind)),
            None => time.clone().is_not_null(),
        };
        let since = self.since.and_then(|since| start_of(since, time_type, calendar));
        match since {
            Some(since) => time.clone().gt_eq(lit(since)).and(until),
            None => until,
        }
    }
}

/// The local day of a time column.
pub fn day_of(time: &Expr, time_type: &DataType, calendar: &Calendar) -> Expr {
    match time_type {
        DataType::Date32 => time.clone(),
        _ => local_date().call(vec![time.clone(), lit(calendar.time_zone.name())]),
    }
}

/// A date as DataFusion holds it.
pub(super) fn date(day: NaiveDate) -> ScalarValue {
    ScalarValue::Date32(Some(to_epoch_days(day)))
}

/// The beginning of a local day as a value of the time column's type; `None` where the type cannot hold it.
fn start_of(day: NaiveDate, time_type: &DataType, calendar: &Calendar) -> Option<ScalarValue> {
    let DataType::Timestamp(unit, zone) = time_type else { return Some(date(day)) };
    let instant = calendar.day_start(day)?;
    Some(match unit {
        TimeUnit::Second => ScalarValue::TimestampSecond(Some(instant.timestamp()), zone.clone()),
        TimeUnit::Millisecond => ScalarValue::TimestampMillisecond(Some(instant.timestamp_millis()), zone.clone()),
        TimeUnit::Microsecond => ScalarValue::TimestampMicrosecond(Some(instant.timestamp_micros()), zone.clone()),
        TimeUnit::Nanosecond => ScalarValue::TimestampNanosecond(Some(instant.timestamp_nanos_opt()?), zone.clone()),
    })
}
