//! The days of the generated company: New York days and their UTC instants, working hours, seasons and growth.
//!
//! Everything happens by the clock in New York and is stored in UTC, so evenings fall on the next UTC day and one hour moves
//! twice a year. Nothing here reads the clock of the machine.

use std::ops::{Add, Sub};

use chrono::{Datelike, Months, NaiveDate, NaiveTime, Offset, TimeZone};
use chrono_tz::America::New_York;

use super::random::Random;

/// A calendar day in New York, as days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub i32);

/// A point in time, as UTC seconds since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub i64);

impl Day {
    /// A day written out; used for the dates of the stories.
    pub const fn of(year: i32, month: u32, day: u32) -> Day {
        Day(NaiveDate::from_ymd_opt(year, month, day).expect("a date written in the source").to_epoch_days())
    }

    pub fn date(self) -> NaiveDate {
        NaiveDate::from_epoch_days(self.0).unwrap_or_default()
    }

    pub fn add_months(self, months: u32) -> Day {
        Day(self.date().checked_add_months(Months::new(months)).unwrap_or(NaiveDate::MAX).to_epoch_days())
    }
}

impl Add<i32> for Day {
    type Output = Day;
    fn add(self, days: i32) -> Day {
        Day(self.0 + days)
    }
}

impl Sub<Day> for Day {
    type Output = i32;
    fn sub(self, earlier: Day) -> i32 {
        self.0 - earlier.0
    }
}

impl Add<i64> for Instant {
    type Output = Instant;
    fn add(self, seconds: i64) -> Instant {
        Instant(self.0 + seconds)
    }
}

impl Sub<Instant> for Instant {
    type Output = i64;
    fn sub(self, earlier: Instant) -> i64 {
        self.0 - earlier.0
    }
}

/// The days of the data, with some years around them for terms and expected dates.
pub struct Calendar {
    /// The first and the last day with events.
    pub first: Day,
    pub last: Day,
    /// The first day of each month of the data, and behind them the day after the last.
    pub months: Vec<Day>,
    origin: Day,
    days: Vec<DayInfo>,
}

struct DayInfo {
    /// New York's midnight.
    midnight: Instant,
    /// How much business the days up to and including this one bring, from the first day of the data on.
    cumulative: f64,
    /// The month of the data that the day is in, or the nearest one.
    month: usize,
    is_working: bool,
}

const YEARS_AROUND: i32 = 4;
const OPENING: i64 = 8 * 3600 + 1800;
const CLOSING: i64 = 18 * 3600;

impl Calendar {
    /// The calendar of `months` months from the given first of a month on.
    pub fn new(first_month: NaiveDate, months: u32) -> Calendar {
        let first = Day(first_month.to_epoch_days());
        let starts: Vec<Day> = (0..=months).map(|month| first.add_months(month)).collect();
        let last = first.add_months(months) + -1;
        let origin = first + -366 * YEARS_AROUND;
        let mut cumulative = 0.0;
        let days = (origin.0..=last.0 + 366 * YEARS_AROUND)
            .map(|number| {
                let day = Day(number);
                let month = starts.partition_point(|start| *start <= day).clamp(1, months as usize) - 1;
                if day >= first && day <= last {
                    cumulative += business(day, (day - first) as f64 / 365.25);
                }
                DayInfo { midnight: midnight(day), cumulative, month, is_working: weekday_weight(day) > 0.3 }
            })
            .collect();
        Calendar { first, last, months: starts, origin, days }
    }

    /// The last second of the data.
    pub fn end(&self) -> Instant {
        self.at(self.last + 1, 0) + -1
    }

    /// The instant at which the clock on the wall shows so many seconds after midnight (after 3:00, when no clock moves).
    pub fn at(&self, day: Day, seconds: i64) -> Instant {
        self.info(day).midnight + (seconds + self.info(day + 1).midnight.0 - self.info(day).midnight.0 - 86_400)
    }

    /// The New York day of an instant.
    pub fn day(&self, instant: Instant) -> Day {
        let guess = Day((instant.0 - 4 * 3600).div_euclid(86_400) as i32);
        if instant < self.info(guess).midnight { guess + -1 } else { guess }
    }

    /// The month of the data (from 0) that a day is in; days outside count as the first or the last.
    pub fn month(&self, day: Day) -> usize {
        self.info(day).month
    }

    /// The share of the data's business that is done up to the end of a day.
    pub fn progress(&self, day: Day) -> f64 {
        self.info(day).cumulative / self.total()
    }

    /// The day by whose end the given share of the data's business is done.
    pub fn day_of_progress(&self, share: f64) -> Day {
        let wanted = share * self.total();
        let index = self.days.partition_point(|day| day.cumulative < wanted);
        (self.origin + index as i32).clamp(self.first, self.last)
    }

    /// A random day of a range (both ends included) within the data, busy days more often.
    pub fn busy_day(&self, random: &mut Random, from: Day, to: Day) -> Day {
        let from = from.clamp(self.first, self.last);
        let to = to.clamp(from, self.last);
        let low = self.progress(from + -1);
        self.day_of_progress(random.uniform(low, self.progress(to))).clamp(from, to)
    }

    /// The day itself if people work on it, or the next one on which they do.
    pub fn working_day(&self, mut day: Day) -> Day {
        // Two weeks hold a working day; the limit only guards days beyond the calendar.
        for _ in 0..14 {
            if self.info(day).is_working {
                break;
            }
            day = day + 1;
        }
        day
    }

    /// A moment of the day while the office is open, most often before or after lunch.
    pub fn office_time(&self, random: &mut Random, day: Day) -> Instant {
        let peak = if random.chance(0.5) { 10.5 } else { 14.75 };
        let seconds = (random.normal(peak, 1.3) * 3600.0) as i64;
        self.at(day, seconds.clamp(OPENING, CLOSING - 1))
    }

    /// A moment of the day when private people are awake, with a peak in the evening.
    pub fn waking_time(&self, random: &mut Random, day: Day) -> Instant {
        let peak = if random.chance(0.65) { 13.0 } else { 20.0 };
        let seconds = (random.normal(peak, 2.2) * 3600.0) as i64;
        self.at(day, seconds.clamp(6 * 3600, 24 * 3600 - 60))
    }

    /// The instant itself if the office is open then, or else some time on the next day of work.
    pub fn office_hours(&self, random: &mut Random, instant: Instant) -> Instant {
        match self.next_opening(instant) {
            Some(day) => self.office_time(random, day),
            None => instant,
        }
    }

    /// The instant itself if the office is open then, or else soon after it opens: when what came at night is answered.
    pub fn answer_time(&self, random: &mut Random, instant: Instant) -> Instant {
        match self.next_opening(instant) {
            Some(day) => self.at(day, (OPENING + random.exponential(4000.0) as i64).min(CLOSING - 1)),
            None => instant,
        }
    }

    /// The day on which the office opens again, if it is closed.
    fn next_opening(&self, instant: Instant) -> Option<Day> {
        let day = self.day(instant);
        let is_working = self.info(day).is_working;
        if is_working && instant < self.at(day, OPENING) {
            return Some(day);
        }
        let is_open = is_working && instant < self.at(day, CLOSING);
        (!is_open).then(|| self.working_day(day + 1))
    }

    fn total(&self) -> f64 {
        self.info(self.last).cumulative
    }

    fn info(&self, day: Day) -> &DayInfo {
        let index = (day - self.origin).clamp(0, self.days.len() as i32 - 1);
        &self.days[index as usize]
    }
}

/// How much business a day brings, with growth of a sixth of the first year's business a year.
fn business(day: Day, years: f64) -> f64 {
    const MONTHS: [f64; 12] = [0.95, 0.98, 1.10, 1.02, 1.02, 1.06, 0.86, 0.82, 1.09, 1.13, 1.06, 0.84];
    weekday_weight(day) * MONTHS[day.date().month0() as usize] * (1.0 + 0.16 * years)
}

fn weekday_weight(day: Day) -> f64 {
    const WEEKDAYS: [f64; 7] = [1.02, 1.10, 1.08, 1.03, 0.86, 0.07, 0.05];
    let date = day.date();
    match (date.month(), date.day()) {
        (1, 1) | (7, 4) | (12, 25) => 0.02,
        (11, 22..=28) if date.weekday() == chrono::Weekday::Thu => 0.02,
        (12, 24..=31) => 0.4 * WEEKDAYS[date.weekday().num_days_from_monday() as usize],
        _ => WEEKDAYS[date.weekday().num_days_from_monday() as usize],
    }
}

fn midnight(day: Day) -> Instant {
    let midnight = day.date().and_time(NaiveTime::MIN);
    let offset = New_York.offset_from_local_datetime(&midnight).earliest();
    let seconds = offset.map_or(-5 * 3600, |offset| offset.fix().local_minus_utc());
    Instant(midnight.and_utc().timestamp() - i64::from(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar() -> Calendar {
        Calendar::new(NaiveDate::from_ymd_opt(2023, 1, 1).unwrap(), 36)
    }

    fn utc(instant: Instant) -> String {
        chrono::DateTime::from_timestamp(instant.0, 0).unwrap().to_rfc3339()
    }

    #[test]
    fn new_york_clocks_move_twice_a_year() {
        let calendar = calendar();
        let nine = 9 * 3600;
        assert_eq!(utc(calendar.at(Day::of(2025, 1, 15), nine)), "2025-01-15T14:00:00+00:00");
        assert_eq!(utc(calendar.at(Day::of(2025, 3, 9), nine)), "2025-03-09T13:00:00+00:00");
        assert_eq!(utc(calendar.at(Day::of(2025, 7, 15), nine)), "2025-07-15T13:00:00+00:00");
        assert_eq!(utc(calendar.at(Day::of(2025, 11, 2), nine)), "2025-11-02T14:00:00+00:00");
        assert_eq!(utc(calendar.end()), "2026-01-01T04:59:59+00:00");
        for day in (0..1096).map(|number| calendar.first + number) {
            for hour in [3, 9, 23] {
                assert_eq!(calendar.day(calendar.at(day, hour * 3600)), day);
            }
        }
    }

    #[test]
    fn business_is_spread_over_working_days() {
        let calendar = calendar();
        let mut random = Random::new(3);
        let days: Vec<Day> = (0..2000).map(|_| calendar.busy_day(&mut random, calendar.first, calendar.last)).collect();
        let weekends = days.iter().filter(|day| day.date().weekday().number_from_monday() > 5).count();
        assert!(weekends < 100, "{weekends} of 2000 on weekends");
        let last_year = days.iter().filter(|day| day.date().year() == 2025).count();
        let first_year = days.iter().filter(|day| day.date().year() == 2023).count();
        assert!(last_year > first_year);
        assert_eq!(calendar.months.len(), 37);
        assert_eq!(calendar.month(Day::of(2025, 12, 31)), 35);
    }

    #[test]
    fn office_hours_skip_nights_and_weekends() {
        let calendar = calendar();
        let mut random = Random::new(3);
        let saturday = calendar.at(Day::of(2025, 5, 10), 12 * 3600);
        let moved = calendar.office_hours(&mut random, saturday);
        assert_eq!(calendar.day(moved), Day::of(2025, 5, 12));
        let wednesday = calendar.at(Day::of(2025, 5, 14), 12 * 3600);
        assert_eq!(calendar.office_hours(&mut random, wednesday), wednesday);
    }
}
