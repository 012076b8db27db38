//! Which days a query reads, as conditions on the time column itself, so that files and row groups can be skipped.

use chrono::{Days, NaiveDate};
use chrono_tz::Tz;
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, lit};
use serde::{Deserialize, Serialize};

use crate::days::{DayRanges, text};
use crate::functions::local_date;
use crate::time::{Calendar, to_epoch_days};

/// The days of interest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Rows of other days need not be read.
    pub days: DayRanges,
    /// Rows of later days do not exist yet: the day that `--as-of` fixes, or today.
    pub until: NaiveDate,
}

/// The days that the data of a KPI covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// The day of the first row.
    #[serde(with = "text")]
    pub first: NaiveDate,
    /// The last day that has rows or is known to have none.
    #[serde(with = "text")]
    pub last: NaiveDate,
    /// The last day of which everything is known; a period that ends behind it is open.
    #[serde(with = "text")]
    pub complete_until: NaiveDate,
    /// The last whole day of the calendar as the run sees it. A period that ends behind it is still running, however far
    /// the data reaches.
    #[serde(with = "text")]
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
    /// All days up to one.
    pub fn until(until: NaiveDate) -> Bounds {
        Bounds { days: DayRanges::all(), until }
    }

    /// The condition that `time` lies within the bounds. A row without time never does.
    pub fn condition(&self, time: &Expr, time_type: &DataType, calendar: &Calendar) -> Expr {
        let before = |day: NaiveDate| {
            let behind = day.checked_add_days(Days::new(1)).unwrap_or(NaiveDate::MAX);
            start_of(behind, time_type, calendar).map(|behind| time.clone().lt(lit(behind)))
        };
        // An hour of a day may lie behind the beginning of the next one. Rows of a day more do no harm.
        let more = Days::new(if days_are_in_order(time_type, calendar) { 0 } else { 1 });
        let wider = |(first, last): (NaiveDate, NaiveDate)| {
            let first = first.checked_sub_days(more).unwrap_or(NaiveDate::MIN);
            (first, last.checked_add_days(more).unwrap_or(NaiveDate::MAX))
        };
        let within = self.days.iter().map(wider).filter(|(first, _)| *first <= self.until).map(|(first, last)| {
            let known = if first == NaiveDate::MIN { None } else { start_of(first, time_type, calendar) };
            let since = known.map(|first| time.clone().gt_eq(lit(first)));
            let until = before(last.min(self.until)).unwrap_or_else(|| time.clone().is_not_null());
            since.into_iter().chain([until]).reduce(Expr::and).unwrap_or_else(|| lit(true))
        });
        within.reduce(Expr::or).unwrap_or_else(|| lit(false))
    }
}

/// Whether a later time never has an earlier day. Where a clock is set back at midnight it may.
pub fn days_are_in_order(time_type: &DataType, calendar: &Calendar) -> bool {
    calendar.time_zone == Tz::UTC || *time_type == DataType::Date32
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
