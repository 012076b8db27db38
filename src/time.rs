//! Days, weeks, months, quarters and years as a project counts them.
//!
//! A period is half-open, `[start, end)`, and its days are those of the project's time zone. Everything here is plain
//! calendar arithmetic on days since 1970-01-01; nothing asks the clock. It does not know DataFusion: `functions` offers
//! the same arithmetic to queries.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use chrono::{
    DateTime, Datelike, Days, MappedLocalTime, Months, NaiveDate, NaiveDateTime, Offset, TimeZone, Utc, Weekday,
};
use chrono_tz::Tz;

/// The length of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grain {
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl Grain {
    pub const ALL: [Grain; 5] = [Grain::Day, Grain::Week, Grain::Month, Grain::Quarter, Grain::Year];

    /// The word for doing something once in each period.
    pub fn rhythm(self) -> &'static str {
        match self {
            Grain::Day => "daily",
            Grain::Week => "weekly",
            Grain::Month => "monthly",
            Grain::Quarter => "quarterly",
            Grain::Year => "yearly",
        }
    }

    /// The word that definitions and results use.
    pub fn name(self) -> &'static str {
        match self {
            Grain::Day => "day",
            Grain::Week => "week",
            Grain::Month => "month",
            Grain::Quarter => "quarter",
            Grain::Year => "year",
        }
    }
}

impl fmt::Display for Grain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Grain {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Grain::ALL.into_iter().find(|grain| grain.name() == text).ok_or(())
    }
}

/// How a project counts time: its zone, the first day of its weeks, the first month of its fiscal years.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Calendar {
    pub time_zone: Tz,
    pub week_starts: Weekday,
    /// 1 to 12.
    pub fiscal_year_starts: u32,
}

impl Default for Calendar {
    fn default() -> Self {
        Calendar { time_zone: Tz::UTC, week_starts: Weekday::Mon, fiscal_year_starts: 1 }
    }
}

impl Calendar {
    /// The first day of the period that `day` lies in, or `None` beyond the years that a date can hold.
    pub fn period_start(&self, day: NaiveDate, grain: Grain) -> Option<NaiveDate> {
        match grain {
            Grain::Day => Some(day),
            Grain::Week => day.checked_sub_days(Days::new(day.weekday().days_since(self.week_starts).into())),
            Grain::Month => day.with_day(1),
            Grain::Quarter => self.month_block(day, 3),
            Grain::Year => self.month_block(day, 12),
        }
    }

    /// The start of the period `count` periods after (or, if negative, before) the one that starts on `start`.
    ///
    /// Counted by index from the period's first day, so a month is never skipped or met twice.
    pub fn shift(&self, start: NaiveDate, grain: Grain, count: i64) -> Option<NaiveDate> {
        let months = match grain {
            Grain::Day => return add_days(start, count),
            Grain::Week => return add_days(start, count.checked_mul(7)?),
            Grain::Month => count,
            Grain::Quarter => count.checked_mul(3)?,
            Grain::Year => count.checked_mul(12)?,
        };
        let size = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
        if months < 0 { start.checked_sub_months(size) } else { start.checked_add_months(size) }
    }

    /// The day behind the last one of the period that starts on `start`.
    pub fn period_end(&self, start: NaiveDate, grain: Grain) -> Option<NaiveDate> {
        self.shift(start, grain, 1)
    }

    /// The day of an instant in the project's zone.
    pub fn local_date(&self, instant: DateTime<Utc>) -> NaiveDate {
        instant.with_timezone(&self.time_zone).date_naive()
    }

    /// The instant at which a day begins in the project's zone. Where the clock skips midnight, the first instant after it.
    pub fn day_start(&self, day: NaiveDate) -> Option<DateTime<Utc>> {
        day_start(self.time_zone, day)
    }

    fn month_block(&self, day: NaiveDate, months: u32) -> Option<NaiveDate> {
        let into_block = (day.month0() + 12 - (self.fiscal_year_starts - 1)) % months;
        day.with_day(1)?.checked_sub_months(Months::new(into_block))
    }
}

fn add_days(day: NaiveDate, count: i64) -> Option<NaiveDate> {
    let size = Days::new(count.unsigned_abs());
    if count < 0 { day.checked_sub_days(size) } else { day.checked_add_days(size) }
}

/// The instant at which `day` begins in `zone`.
pub fn day_start(zone: Tz, day: NaiveDate) -> Option<DateTime<Utc>> {
    let midnight = day.and_hms_opt(0, 0, 0)?;
    // A zone that skips midnight skips at most a whole day (Samoa, 2011); look for the first quarter of an hour that exists.
    (0..=96).find_map(|quarter| first_instant(zone, midnight + chrono::TimeDelta::minutes(15 * quarter)))
}

fn first_instant(zone: Tz, local: NaiveDateTime) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(instant) => Some(instant.to_utc()),
        MappedLocalTime::Ambiguous(first, second) => Some(first.to_utc().min(second.to_utc())),
        MappedLocalTime::None => None,
    }
}

/// The days since 1970-01-01, as Arrow's `Date32` counts them.
pub fn to_epoch_days(day: NaiveDate) -> i32 {
    day.num_days_from_ce() - 719_163
}

/// The day that is `days` after 1970-01-01.
pub fn from_epoch_days(days: i32) -> Option<NaiveDate> {
    NaiveDate::from_num_days_from_ce_opt(days.checked_add(719_163)?)
}

/// Local days of many instants in one zone. Remembers the offsets of the days met, since asking the zone is slow.
pub struct LocalDates {
    zone: Tz,
    /// By UTC day modulo the size: the day, and its offset in seconds where the whole day has one.
    offsets: Vec<(i64, Option<i32>)>,
    /// The days that a date can hold.
    known: RangeInclusive<i64>,
}

const SECONDS_PER_DAY: i64 = 86_400;

impl LocalDates {
    pub fn new(zone: Tz) -> Self {
        let known = to_epoch_days(NaiveDate::MIN).into()..=to_epoch_days(NaiveDate::MAX).into();
        LocalDates { zone, offsets: vec![(i64::MIN, None); 2048], known }
    }

    /// The local day of an instant given in seconds since 1970-01-01 UTC, or `None` beyond the years that a date can hold.
    pub fn day(&mut self, seconds: i64) -> Option<i32> {
        let utc_day = seconds.div_euclid(SECONDS_PER_DAY);
        if self.zone == Tz::UTC {
            return self.known.contains(&utc_day).then_some(utc_day as i32);
        }
        let slot = utc_day.rem_euclid(self.offsets.len() as i64) as usize;
        if self.offsets[slot].0 != utc_day {
            let first = offset_at(self.zone, utc_day * SECONDS_PER_DAY)?;
            let last = offset_at(self.zone, (utc_day + 1) * SECONDS_PER_DAY - 1)?;
            self.offsets[slot] = (utc_day, (first == last).then_some(first));
        }
        let offset = match self.offsets[slot].1 {
            Some(offset) => offset,
            None => offset_at(self.zone, seconds)?,
        };
        i32::try_from((seconds + i64::from(offset)).div_euclid(SECONDS_PER_DAY)).ok()
    }
}

fn offset_at(zone: Tz, seconds: i64) -> Option<i32> {
    let instant = DateTime::from_timestamp(seconds, 0)?;
    Some(zone.offset_from_utc_datetime(&instant.naive_utc()).fix().local_minus_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn calendar(week_starts: Weekday, fiscal_year_starts: u32) -> Calendar {
        Calendar { week_starts, fiscal_year_starts, ..Calendar::default() }
    }

    #[test]
    fn periods_start_where_the_project_says() {
        let plain = Calendar::default();
        assert_eq!(plain.period_start(day("2025-01-31"), Grain::Week), Some(day("2025-01-27")));
        assert_eq!(calendar(Weekday::Sun, 1).period_start(day("2025-01-31"), Grain::Week), Some(day("2025-01-26")));
        assert_eq!(plain.period_start(day("2025-05-31"), Grain::Quarter), Some(day("2025-04-01")));
        let fiscal = calendar(Weekday::Mon, 2);
        assert_eq!(fiscal.period_start(day("2025-01-31"), Grain::Year), Some(day("2024-02-01")));
        assert_eq!(fiscal.period_start(day("2025-01-31"), Grain::Quarter), Some(day("2024-11-01")));
        assert_eq!(fiscal.period_start(day("2025-02-01"), Grain::Quarter), Some(day("2025-02-01")));
    }

    #[test]
    fn a_series_of_months_never_drifts() {
        let plain = Calendar::default();
        let start = plain.period_start(day("2024-01-31"), Grain::Month).unwrap();
        let months: Vec<_> = (0..4).map(|index| plain.shift(start, Grain::Month, index).unwrap().to_string()).collect();
        assert_eq!(months, ["2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01"]);
        assert_eq!(plain.shift(day("2024-03-01"), Grain::Month, -1), Some(day("2024-02-01")));
    }

    #[test]
    fn days_of_23_and_25_hours_are_days() {
        let zone: Tz = "America/New_York".parse().unwrap();
        let spring = day_start(zone, day("2025-03-10")).unwrap() - day_start(zone, day("2025-03-09")).unwrap();
        let autumn = day_start(zone, day("2025-11-03")).unwrap() - day_start(zone, day("2025-11-02")).unwrap();
        assert_eq!((spring.num_hours(), autumn.num_hours()), (23, 25));
    }

    #[test]
    fn a_day_begins_even_where_midnight_is_skipped() {
        let zone: Tz = "America/Sao_Paulo".parse().unwrap();
        assert_eq!(day_start(zone, day("2018-11-04")).unwrap().to_string(), "2018-11-04 03:00:00 UTC");
    }

    /// The remembered offsets agree with the zone at every hour of years with changes of clock in many zones.
    #[test]
    fn remembered_offsets_agree_with_the_zone() {
        for name in ["America/New_York", "Europe/London", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]
        {
            let zone: Tz = name.parse().unwrap();
            let mut dates = LocalDates::new(zone);
            for step in 0..(24 * 800) {
                let seconds = 1_290_000_000 + step * 3_600 + 1_799;
                let instant = DateTime::from_timestamp(seconds, 0).unwrap();
                let expected = to_epoch_days(instant.with_timezone(&zone).date_naive());
                assert_eq!(dates.day(seconds), Some(expected), "{name} {instant}");
            }
        }
    }

    #[test]
    fn far_dates_are_no_panic() {
        let plain = Calendar::default();
        assert_eq!(plain.shift(NaiveDate::MAX, Grain::Month, i64::MAX), None);
        assert_eq!(plain.period_start(NaiveDate::MIN, Grain::Week), None);
        assert_eq!(LocalDates::new(Tz::UTC).day(i64::MAX / 2), None);
    }
}
