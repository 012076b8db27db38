//! The SQL functions that `kpi` adds to DataFusion, registered in one place.
//!
//! They hold what SQL dialects leave open and KPIs must not: the day of an instant in a named zone, the period of a day
//! under a project's week and fiscal year, and durations that say what they count. They take their zone as an argument,
//! so that the SQL shown means the same wherever it runs. Period series are not here.

mod percentile;

use std::sync::Arc;

use chrono::{DateTime, FixedOffset, MappedLocalTime, NaiveDateTime, TimeZone, Utc, Weekday};
use chrono_tz::{GapInfo, Tz};
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Float64Array, Int64Array, TimestampMicrosecondArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::compute::kernels::cast_utils::string_to_datetime;
use datafusion::arrow::datatypes::{DataType, Date32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use datafusion::arrow::error::ArrowError;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    AggregateUDF, ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::prelude::SessionContext;

pub use percentile::{median, percentile_cont, percentile_disc};

use crate::time::{Calendar, Grain, LocalDates, from_epoch_days, to_epoch_days};

/// Makes every function known to a session, in the place of DataFusion's own where names are the same.
pub fn register(context: &SessionContext) {
    scalars().into_iter().for_each(|function| context.register_udf(function));
    aggregates().into_iter().for_each(|function| context.register_udaf(function));
}

fn aggregates() -> Vec<AggregateUDF> {
    [median(), percentile_cont(), percentile_disc()].map(|function| function.as_ref().clone()).to_vec()
}

fn scalars() -> Vec<ScalarUDF> {
    let mut functions = vec![local_date(), local_time(), instant_of(), period_start(), period_shift(), days_between()];
    functions.extend(Duration::ALL.map(|unit| ScalarUDF::from(Elapsed { unit, signature: any_arguments() })));
    functions
}

/// `local_date(instant, zone)`: the day of an instant in a zone. A date stays as it is; a timestamp without a zone is UTC.
pub fn local_date() -> ScalarUDF {
    ScalarUDF::from(LocalDate { signature: any_arguments() })
}

/// `local_time(instant, zone)`: what the clocks of a zone show at an instant, as a timestamp without a zone.
pub fn local_time() -> ScalarUDF {
    ScalarUDF::from(LocalTime { signature: any_arguments() })
}

/// `instant_of(local, zone)`: the instant of a local time in a zone. The local time is a timestamp without a zone, a date,
/// which is its first moment, or a text, which may tell its own offset.
pub fn instant_of() -> ScalarUDF {
    ScalarUDF::from(InstantOf { signature: any_arguments() })
}

/// `period_start(date, grain [, first_weekday [, first_fiscal_month]])`: the first day of the period.
pub fn period_start() -> ScalarUDF {
    ScalarUDF::from(PeriodStart { signature: any_arguments() })
}

/// `period_shift(period_start, grain, count)`: the start of the period that many periods later.
pub fn period_shift() -> ScalarUDF {
    ScalarUDF::from(PeriodShift { signature: any_arguments() })
}

/// `days_between(from, to, zone)`: calendar days from one local day to another; the same day is 0.
pub fn days_between() -> ScalarUDF {
    ScalarUDF::from(DaysBetween { signature: any_arguments() })
}

/// The functions whose last argument is the reporting zone. Definitions may leave it out; `validate` writes it in.
pub const ZONED: [(&str, usize); 4] = [("local_date", 1), ("local_time", 1), ("instant_of", 1), ("days_between", 2)];

/// The zone, first weekday and first fiscal month as further arguments of `period_start`, where they are not the default.
pub fn calendar_arguments(calendar: &Calendar, grain: Grain) -> Vec<ScalarValue> {
    let weekday = ScalarValue::from(weekday_name(calendar.week_starts));
    match grain {
        Grain::Day | Grain::Month => vec![],
        Grain::Week if calendar.week_starts == Weekday::Mon => vec![],
        Grain::Week => vec![weekday],
        Grain::Quarter | Grain::Year if calendar.fiscal_year_starts == 1 => vec![],
        Grain::Quarter | Grain::Year => vec![weekday, ScalarValue::from(i64::from(calendar.fiscal_year_starts))],
    }
}

fn weekday_name(day: Weekday) -> &'static str {
    match day {
        Weekday::Mon => "monday",
        Weekday::Tue => "tuesday",
        Weekday::Wed => "wednesday",
        Weekday::Thu => "thursday",
        Weekday::Fri => "friday",
        Weekday::Sat => "saturday",
        Weekday::Sun => "sunday",
    }
}

// Types are checked in `return_type`, which can say what is expected; DataFusion's own signatures only list candidates.
fn any_arguments() -> Signature {
    Signature::variadic_any(Volatility::Immutable)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct LocalDate {
    signature: Signature,
}

impl ScalarUDFImpl for LocalDate {
    fn name(&self) -> &str {
        "local_date"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [time, zone] if is_day_or_instant(time) && is_text(zone) => Ok(DataType::Date32),
            _ => plan_err!("`local_date` takes a date or timestamp and a time zone, not {}", list(types)),
        }
    }
    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let zone = zone_argument(&arguments.args[1])?;
        by_array(&arguments, |arrays| Ok(Arc::new(local_dates(&arrays[0], zone)?)))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct LocalTime {
    signature: Signature,
}

impl ScalarUDFImpl for LocalTime {
    fn name(&self) -> &str {
        "local_time"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [instant, zone] if is_instant(instant) && is_text(zone) => {
                Ok(DataType::Timestamp(TimeUnit::Microsecond, None))
            }
            _ => plan_err!("`local_time` takes a timestamp and a time zone, not {}", list(types)),
        }
    }
    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let zone = zone_argument(&arguments.args[1])?;
        by_array(&arguments, |arrays| {
            let shown = |instant: i64| {
                let utc = DateTime::from_timestamp_micros(instant)?;
                Some(utc.with_timezone(&zone).naive_local().and_utc().timestamp_micros())
            };
            let times: TimestampMicrosecondArray =
                microseconds(&arrays[0])?.iter().map(|instant| instant.and_then(shown)).collect();
            Ok(Arc::new(times))
        })
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct InstantOf {
    signature: Signature,
}

impl ScalarUDFImpl for InstantOf {
    fn name(&self) -> &str {
        "instant_of"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [DataType::Timestamp(_, None) | DataType::Null, zone] if is_text(zone) => Ok(utc_timestamp()),
            [local, zone] if (is_text(local) || is_date(local)) && is_text(zone) => Ok(utc_timestamp()),
            [DataType::Timestamp(_, Some(_)), _] => {
                plan_err!("`instant_of` takes a local time, and a timestamp with a zone is an instant already")
            }
            _ => plan_err!(
                "`instant_of` takes a timestamp without a zone, a date or a text, and a time zone, not {}",
                list(types)
            ),
        }
    }
    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let zone = zone_argument(&arguments.args[1])?;
        by_array(&arguments, |arrays| {
            let instants: TimestampMicrosecondArray = if is_text(arrays[0].data_type()) {
                let texts = cast(&arrays[0], &DataType::Utf8View)?;
                let read = |text: Option<&str>| text.map_or(Ok(None), |text| instant_of_text(text, zone));
                texts.as_string_view().iter().map(read).collect::<Result<_>>()?
            } else {
                // The first moment of a date.
                let times = cast(&arrays[0], &DataType::Timestamp(TimeUnit::Microsecond, None))?;
                let local = |time: i64| Some(DateTime::from_timestamp_micros(time)?.naive_utc());
                let instant = |time: i64| first_instant(local(time)?, zone);
                microseconds(&times)?.iter().map(|time| time.and_then(instant)).collect()
            };
            Ok(Arc::new(instants.with_timezone("UTC")))
        })
    }
}

pub fn utc_timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PeriodStart {
    signature: Signature,
}

impl ScalarUDFImpl for PeriodStart {
    fn name(&self) -> &str {
        "period_start"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let is_valid = match types {
            [date, grain] => is_date(date) && is_text(grain),
            [date, grain, weekday] => is_date(date) && is_text(grain) && is_text(weekday),
            [date, grain, weekday, month] => is_date(date) && is_text(grain) && is_text(weekday) && month.is_integer(),
            _ => false,
        };
        match is_valid {
            true => Ok(DataType::Date32),
            false => plan_err!("`period_start` takes a date and a grain such as 'month', not {}", list(types)),
        }
    }
    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let grain = grain_argument(&arguments.args[1])?;
        let calendar = calendar_from(&arguments.args[2..])?;
        by_array(&arguments, |arrays| {
            // Rows of one period tend to follow each other; keeping the last one saves most of the arithmetic.
            let mut last = (i32::MIN, None);
            let mut start_of = |day: i32| {
                if last.0 != day {
                    let start = from_epoch_days(day).and_then(|day| calendar.period_start(day, grain));
                    last = (day, start.map(to_epoch_days));
                }
                last.1
            };
            let starts: Date32Array = dates(&arrays[0])?.iter().map(|day| day.and_then(&mut start_of)).collect();
            Ok(Arc::new(starts))
        })
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PeriodShift {
    signature: Signature,
}

impl ScalarUDFImpl for PeriodShift {
    fn name(&self) -> &str {
        "period_shift"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [date, grain, count] if is_date(date) && is_text(grain) && count.is_integer() => Ok(DataType::Date32),
            _ => plan_err!("`period_shift` takes a period start, a grain and a whole number, not {}", list(types)),
        }
    }
    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let grain = grain_argument(&arguments.args[1])?;
        let calendar = Calendar::default();
        let shifted = |day: i32, count: i64| {
            from_epoch_days(day).and_then(|day| calendar.shift(day, grain, count)).map(to_epoch_days)
        };
        by_array(&arguments, |arrays| {
            let days = dates(&arrays[0])?;
            let counts = cast(&arrays[2], &DataType::Int64)?;
            let counts = counts.as_primitive::<Int64Type>();
            let shifted: Date32Array = days.iter().zip(counts).map(|(day, count)| shifted(day?, count?)).collect();
            Ok(Arc::new(shifted))
        })
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DaysBetween {
    signature: Signature,
}

impl ScalarUDFImpl for DaysBetween {
    fn name(&self) -> &str {
        "days_between"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [from, to, zone] if is_day_or_instant(from) && is_day_or_instant(to) && is_text(zone) => {
                Ok(DataType::Int64)
            }
            // The zone is written in by definitions themselves.
            [dates @ .., zone] if is_text(zone) => {
                plan_err!("`days_between` takes two dates or timestamps, not {}", list(dates))
            }
            _ => plan_err!("`days_between` takes two dates or timestamps, not {}", list(types)),
        }
    }
    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let zone = zone_argument(&arguments.args[2])?;
        by_array(&arguments, |arrays| {
            let (from, to) = (local_dates(&arrays[0], zone)?, local_dates(&arrays[1], zone)?);
            let days: Int64Array =
                from.iter().zip(to.iter()).map(|(from, to)| Some(i64::from(to?) - i64::from(from?))).collect();
            Ok(Arc::new(days))
        })
    }
}

/// What `hours_between` and its siblings count: exact time between two instants, never boundaries crossed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Duration {
    Hours,
    Minutes,
    Seconds,
}

impl Duration {
    const ALL: [Duration; 3] = [Duration::Hours, Duration::Minutes, Duration::Seconds];

    fn function(self) -> &'static str {
        match self {
            Duration::Hours => "hours_between",
            Duration::Minutes => "minutes_between",
            Duration::Seconds => "seconds_between",
        }
    }

    fn microseconds(self) -> f64 {
        match self {
            Duration::Hours => 3_600e6,
            Duration::Minutes => 60e6,
            Duration::Seconds => 1e6,
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Elapsed {
    unit: Duration,
    signature: Signature,
}

impl ScalarUDFImpl for Elapsed {
    fn name(&self) -> &str {
        self.unit.function()
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [from, to] if is_instant(from) && is_instant(to) => Ok(DataType::Float64),
            [from, to] if is_day_or_instant(from) && is_day_or_instant(to) => plan_err!(
                "`{}` takes two timestamps, but a date has no time of day; `days_between` counts days",
                self.name()
            ),
            _ => plan_err!("`{}` takes two timestamps, not {}", self.name(), list(types)),
        }
    }
    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        by_array(&arguments, |arrays| {
            let (from, to) = (microseconds(&arrays[0])?, microseconds(&arrays[1])?);
            let elapsed: Float64Array = (from.iter().zip(to.iter()))
                .map(|(from, to)| Some((to? as i128 - from? as i128) as f64 / self.unit.microseconds()))
                .collect();
            Ok(Arc::new(elapsed))
        })
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8)
}

fn is_date(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Null)
}

fn is_instant(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(_, _) | DataType::Null)
}

fn is_day_or_instant(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Date64) || is_instant(data_type)
}

fn list(types: &[DataType]) -> String {
    let name = |data_type: &DataType| match data_type {
        data_type if is_text(data_type) => "text".to_owned(),
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Timestamp(_, _) => "timestamp".to_owned(),
        other => other.to_string(),
    };
    let names: Vec<String> = types.iter().map(name).collect();
    format!("({})", names.join(", "))
}

fn text_argument<'a>(argument: &'a ColumnarValue, what: &str) -> Result<&'a str> {
    match argument {
        ColumnarValue::Scalar(value) => match value.try_as_str() {
            Some(Some(text)) => Ok(text),
            _ => exec_err!("the {what} must be a text"),
        },
        ColumnarValue::Array(_) => exec_err!("the {what} must be a constant"),
    }
}

fn zone_argument(argument: &ColumnarValue) -> Result<Tz> {
    let name = text_argument(argument, "time zone")?;
    name.parse().or_else(|_| exec_err!("`{name}` is no time zone; use a name such as `America/New_York`"))
}

fn grain_argument(argument: &ColumnarValue) -> Result<Grain> {
    let name = text_argument(argument, "grain")?;
    name.parse().or_else(|()| exec_err!("`{name}` is no grain; use day, week, month, quarter or year"))
}

fn calendar_from(arguments: &[ColumnarValue]) -> Result<Calendar> {
    let mut calendar = Calendar::default();
    if let Some(weekday) = arguments.first() {
        let name = text_argument(weekday, "first weekday")?;
        calendar.week_starts = name.parse().or_else(|_| exec_err!("`{name}` is no weekday"))?;
    }
    if let Some(month) = arguments.get(1) {
        let ColumnarValue::Scalar(month) = month else { return exec_err!("the first fiscal month must be a constant") };
        match month.cast_to(&DataType::Int64)? {
            ScalarValue::Int64(Some(month @ 1..=12)) => calendar.fiscal_year_starts = month as u32,
            other => return exec_err!("`{other}` is no month; use 1 to 12"),
        }
    }
    Ok(calendar)
}

/// Runs `compute` over the arguments as arrays; a call with constants only stays a constant, so that it can be folded.
fn by_array(
    arguments: &ScalarFunctionArgs,
    compute: impl FnOnce(&[ArrayRef]) -> Result<ArrayRef>,
) -> Result<ColumnarValue> {
    let is_constant = arguments.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
    let rows = if is_constant { 1 } else { arguments.number_rows };
    let arrays = arguments.args.iter().map(|argument| argument.to_array(rows)).collect::<Result<Vec<_>>>()?;
    let result = compute(&arrays)?;
    match is_constant {
        true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)),
        false => Ok(ColumnarValue::Array(result)),
    }
}

fn local_dates(array: &ArrayRef, zone: Tz) -> Result<Date32Array> {
    if !matches!(array.data_type(), DataType::Timestamp(_, _)) {
        return dates(array);
    }
    let mut dates = LocalDates::new(zone);
    let mut day_of = |instant: i64| dates.day(instant.div_euclid(1_000_000));
    Ok(microseconds(array)?.iter().map(|instant| instant.and_then(&mut day_of)).collect())
}

/// Days of any type as `Date32`. A NULL without a type comes as an array of its own kind.
fn dates(array: &ArrayRef) -> Result<Date32Array> {
    Ok(cast(array, &DataType::Date32)?.as_primitive::<Date32Type>().clone())
}

/// The instant of a local time in a zone: the first one where the clock shows it twice, the one after the gap where the
/// clock skips it.
fn first_instant(local: NaiveDateTime, zone: Tz) -> Option<i64> {
    let instant = match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(instant) => instant.to_utc(),
        MappedLocalTime::Ambiguous(one, other) => one.to_utc().min(other.to_utc()),
        MappedLocalTime::None => GapInfo::new(&local, &zone)?.end?.to_utc(),
    };
    Some(instant.timestamp_micros())
}

/// Reads a text with an offset of its own as that instant, any other as local time of the zone.
fn instant_of_text(text: &str, zone: Tz) -> Result<Option<i64>> {
    let Ok(utc) = string_to_datetime(&Utc, text.trim()) else {
        return Err(ArrowError::CastError(format!("cannot read `{text}` as a timestamp")).into());
    };
    // A text says where it is meant if it is the same instant wherever it is read.
    const ELSEWHERE: Option<FixedOffset> = FixedOffset::east_opt(3_600);
    let has_offset = ELSEWHERE
        .and_then(|elsewhere| string_to_datetime(&elsewhere, text.trim()).ok())
        .is_some_and(|elsewhere| elsewhere == utc);
    Ok(if has_offset { Some(utc.timestamp_micros()) } else { first_instant(utc.naive_utc(), zone) })
}

/// Timestamps of any unit as microseconds since 1970-01-01 UTC.
fn microseconds(array: &ArrayRef) -> Result<Int64Array> {
    let instants = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, zone_of(array)))?;
    let instants = instants.as_primitive::<TimestampMicrosecondType>();
    Ok(instants.reinterpret_cast::<Int64Type>())
}

fn zone_of(array: &ArrayRef) -> Option<Arc<str>> {
    match array.data_type() {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::SessionConfig;

    async fn ask(sql: &str) -> String {
        let context = SessionContext::new_with_config(SessionConfig::new());
        register(&context);
        let rows = match context.sql(&format!("SELECT {sql} AS v")).await {
            Ok(frame) => frame.collect().await,
            Err(error) => Err(error),
        };
        match rows {
            Ok(rows) => {
                let text = cast(rows[0].column(0), &DataType::Utf8).unwrap();
                let text = text.as_string::<i32>();
                if text.is_null(0) { "NULL".to_owned() } else { text.value(0).to_owned() }
            }
            Err(error) => format!("error: {}", error.strip_backtrace()),
        }
    }

    #[tokio::test]
    async fn answers() {
        for (sql, expected) in [
            ("local_date(TIMESTAMP '2025-01-01T02:00:00Z', 'America/New_York')", "2024-12-31"),
            (
                "local_date(arrow_cast('2025-01-01T02:00:00Z', 'Timestamp(Second, Some(\"UTC\"))'), 'Asia/Tokyo')",
                "2025-01-01",
            ),
            ("local_date(DATE '2025-01-01', 'America/New_York')", "2025-01-01"),
            ("local_date(CAST(NULL AS TIMESTAMP), 'UTC')", "NULL"),
            // The clocks go from 02:00 to 03:00 at 07:00 UTC.
            ("local_time(TIMESTAMP '2025-03-09T06:59:59Z', 'America/New_York')", "2025-03-09T01:59:59"),
            ("local_time(TIMESTAMP '2025-03-09T07:00:00Z', 'America/New_York')", "2025-03-09T03:00:00"),
            ("local_time(TIMESTAMP '2025-01-01T00:00:00Z', 'Asia/Kolkata')", "2025-01-01T05:30:00"),
            ("local_time(CAST(NULL AS TIMESTAMP), 'UTC')", "NULL"),
            ("period_start(DATE '2025-02-28', 'quarter')", "2025-01-01"),
            ("period_start(DATE '9999-12-31', 'month')", "9999-12-01"),
            ("period_start(DATE '2025-02-28', 'week', 'sunday')", "2025-02-23"),
            ("period_start(DATE '2025-02-28', 'year', 'monday', 4)", "2024-04-01"),
            ("period_shift(DATE '2024-03-01', 'month', -1)", "2024-02-01"),
            ("period_start(NULL, 'month')", "NULL"),
            ("period_shift(NULL, 'month', 1)", "NULL"),
            ("days_between(TIMESTAMP '2025-01-01T02:00:00Z', DATE '2025-01-02', 'America/New_York')", "2"),
            ("hours_between(TIMESTAMP '2025-03-09T00:00:00Z', TIMESTAMP '2025-03-09T01:30:00Z')", "1.5"),
            (
                "minutes_between(TIMESTAMP '2025-03-09T00:00:59Z', TIMESTAMP '2025-03-09T00:01:00Z')",
                "0.016666666666666666",
            ),
        ] {
            assert_eq!(ask(sql).await, expected, "{sql}");
        }
    }

    #[tokio::test]
    async fn local_times_are_instants() {
        for (local, expected) in [
            ("'2025-01-15 12:00:00'", "2025-01-15T17:00:00Z"),
            // Skipped: the clock goes from 02:00 to 03:00.
            ("'2025-03-09 02:30:00'", "2025-03-09T07:00:00Z"),
            ("arrow_cast('2025-03-09T02:30:00', 'Timestamp(Second, None)')", "2025-03-09T07:00:00Z"),
            // Twice: the clock goes back from 02:00 to 01:00.
            ("'2025-11-02T01:30:00'", "2025-11-02T05:30:00Z"),
            ("arrow_cast('2025-11-02T01:30:00', 'Timestamp(Nanosecond, None)')", "2025-11-02T05:30:00Z"),
            ("'2025-11-02T01:30:00-05:00'", "2025-11-02T06:30:00Z"),
            ("'2025-11-02T01:30:00Z'", "2025-11-02T01:30:00Z"),
            ("'2025-01-15'", "2025-01-15T05:00:00Z"),
            ("DATE '2025-01-15'", "2025-01-15T05:00:00Z"),
            ("DATE '2025-07-15'", "2025-07-15T04:00:00Z"),
            ("NULL", "NULL"),
            ("CAST(NULL AS TEXT)", "NULL"),
        ] {
            assert_eq!(ask(&format!("instant_of({local}, 'America/New_York')")).await, expected, "{local}");
        }
        let message = ask("instant_of('noon', 'America/New_York')").await;
        assert!(message.contains("Cast error: cannot read `noon` as a timestamp"), "{message}");
    }

    #[tokio::test]
    async fn wrong_arguments_are_named() {
        for (sql, expected) in [
            ("hours_between(DATE '2025-01-01', DATE '2025-01-02')", "a date has no time of day"),
            ("local_date(DATE '2025-01-01', 'Mars/Base')", "`Mars/Base` is no time zone"),
            ("period_start(DATE '2025-01-01', 'fortnight')", "`fortnight` is no grain"),
            ("local_date('2025-01-01', 'UTC')", "takes a date or timestamp and a time zone"),
            ("local_time(DATE '2025-01-01', 'UTC')", "takes a timestamp and a time zone, not (date, text)"),
        ] {
            let message = ask(sql).await;
            assert!(message.contains(expected), "{sql}: {message}");
        }
    }
}
