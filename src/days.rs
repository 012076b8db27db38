//! Sets of days, as ranges: which days something has touched, and which have to be looked at.
//!
//! It knows neither rows nor KPIs. What a set means is for those to say who hold it.

use chrono::NaiveDate;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::{Calendar, Grain};

/// Ranges of days, both ends included, in order, with at least a day between any two.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DayRanges(Vec<(NaiveDate, NaiveDate)>);

impl DayRanges {
    /// No day at all.
    pub fn none() -> DayRanges {
        DayRanges::default()
    }

    /// Every day that a date can hold.
    pub fn all() -> DayRanges {
        DayRanges(vec![(NaiveDate::MIN, NaiveDate::MAX)])
    }

    /// The days from one to another; none where the first lies behind the last.
    pub fn of(first: NaiveDate, last: NaiveDate) -> DayRanges {
        DayRanges(if first <= last { vec![(first, last)] } else { Vec::new() })
    }

    /// A day and all behind it.
    pub fn since(first: NaiveDate) -> DayRanges {
        DayRanges::of(first, NaiveDate::MAX)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn is_all(&self) -> bool {
        *self == DayRanges::all()
    }

    pub fn iter(&self) -> impl Iterator<Item = (NaiveDate, NaiveDate)> {
        self.0.iter().copied()
    }

    pub fn contains(&self, day: NaiveDate) -> bool {
        let behind = self.0.partition_point(|(first, _)| *first <= day);
        behind > 0 && day <= self.0[behind - 1].1
    }

    /// Whether there are days that both have.
    pub fn meets(&self, other: &DayRanges) -> bool {
        self.iter().any(|(first, last)| other.iter().any(|(from, to)| first <= to && from <= last))
    }

    /// Whether all days of others are among these.
    pub fn has_all_of(&self, others: &DayRanges) -> bool {
        others.iter().all(|(first, last)| self.iter().any(|(from, to)| from <= first && last <= to))
    }

    /// The first and the last day.
    pub fn ends(&self) -> Option<(NaiveDate, NaiveDate)> {
        Some((self.0.first()?.0, self.0.last()?.1))
    }

    /// The days of both.
    pub fn extend(&mut self, other: &DayRanges) {
        self.0.extend(&other.0);
        self.0.sort_unstable();
        let mut merged: Vec<(NaiveDate, NaiveDate)> = Vec::with_capacity(self.0.len());
        for (first, last) in self.0.drain(..) {
            match merged.last_mut() {
                Some(before) if first <= before.1.succ_opt().unwrap_or(NaiveDate::MAX) => before.1 = before.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        self.0 = merged;
    }

    /// Each range as another one. An end for which there is no date becomes the first or the last that there is, and those stay.
    pub fn map(
        &self,
        first: impl Fn(NaiveDate) -> Option<NaiveDate>,
        last: impl Fn(NaiveDate) -> Option<NaiveDate>,
    ) -> DayRanges {
        let mut mapped = DayRanges::none();
        for (from, to) in self.iter() {
            let from = Some(from).filter(|from| *from != NaiveDate::MIN).and_then(&first).unwrap_or(NaiveDate::MIN);
            let to = Some(to).filter(|to| *to != NaiveDate::MAX).and_then(&last).unwrap_or(NaiveDate::MAX);
            mapped.extend(&DayRanges::of(from, to));
        }
        mapped
    }

    /// All days of the periods in which these days lie.
    pub fn whole_periods(&self, grain: Grain, calendar: &Calendar) -> DayRanges {
        let first = |day| calendar.period_start(day, grain);
        self.map(first, |day| calendar.period_end(calendar.period_start(day, grain)?, grain)?.pred_opt())
    }
}

/// As pairs of texts, for records that people read; an end for which there is no date is null.
impl Serialize for DayRanges {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = |day: NaiveDate| (day != NaiveDate::MIN && day != NaiveDate::MAX).then(|| day.to_string());
        serializer.collect_seq(self.iter().map(|(first, last)| (text(first), text(last))))
    }
}

impl<'de> Deserialize<'de> for DayRanges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DayRanges, D::Error> {
        let day = |text: Option<String>, none: NaiveDate| match text {
            Some(text) => text.parse().map_err(D::Error::custom),
            None => Ok(none),
        };
        let pairs = Vec::<(Option<String>, Option<String>)>::deserialize(deserializer)?;
        let range = |(first, last)| Ok(DayRanges::of(day(first, NaiveDate::MIN)?, day(last, NaiveDate::MAX)?));
        pairs.into_iter().map(range).collect()
    }
}

impl FromIterator<DayRanges> for DayRanges {
    fn from_iter<I: IntoIterator<Item = DayRanges>>(ranges: I) -> DayRanges {
        let mut all = DayRanges::none();
        ranges.into_iter().for_each(|ranges| all.extend(&ranges));
        all
    }
}

/// Days, and what is written like them, as texts, for records that people read.
pub mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<T: Display, S: Serializer>(written: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(written)
    }

    pub fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Days as texts, where there may be none.
pub mod maybe_text {
    use chrono::NaiveDate;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(day: &Option<NaiveDate>, serializer: S) -> Result<S::Ok, S::Error> {
        match day {
            Some(day) => serializer.collect_str(day),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NaiveDate>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn ranges(texts: &[(&str, &str)]) -> DayRanges {
        texts.iter().map(|(first, last)| DayRanges::of(day(first), day(last))).collect()
    }

    #[test]
    fn what_touches_is_one_range() {
        let both = ranges(&[("2025-03-05", "2025-03-09"), ("2025-01-01", "2025-01-31"), ("2025-02-01", "2025-02-02")]);
        assert_eq!(both, ranges(&[("2025-01-01", "2025-02-02"), ("2025-03-05", "2025-03-09")]));
        assert_eq!(both.ends(), Some((day("2025-01-01"), day("2025-03-09"))));
        assert!(both.contains(day("2025-02-02")) && !both.contains(day("2025-02-03")));
        assert!(!both.contains(day("2024-12-31")) && !DayRanges::none().contains(day("2025-01-01")));
        assert!(both.meets(&ranges(&[("2025-02-02", "2025-03-04")])));
        assert!(!both.meets(&ranges(&[("2025-02-03", "2025-03-04"), ("2025-04-01", "2025-05-01")])));
        assert!(both.has_all_of(&ranges(&[("2025-01-05", "2025-02-02")])) && both.has_all_of(&both));
        assert!(!both.has_all_of(&ranges(&[("2025-01-05", "2025-02-03")])));
        let mut all = DayRanges::all();
        all.extend(&both);
        assert!(all.is_all() && DayRanges::of(day("2025-01-02"), day("2025-01-01")).is_empty());
        for days in [both, all, DayRanges::since(day("2025-01-01")), DayRanges::none()] {
            let text = serde_json::to_string(&days).unwrap();
            assert_eq!(serde_json::from_str::<DayRanges>(&text).unwrap(), days, "{text}");
        }
    }

    #[test]
    fn periods_are_whole() {
        let days = ranges(&[("2025-01-30", "2025-02-02"), ("2025-06-15", "2025-06-15")]);
        let calendar = Calendar { fiscal_year_starts: 4, ..Calendar::default() };
        let of = |grain| days.whole_periods(grain, &calendar);
        assert_eq!(of(Grain::Day), days);
        assert_eq!(of(Grain::Week), ranges(&[("2025-01-27", "2025-02-02"), ("2025-06-09", "2025-06-15")]));
        assert_eq!(of(Grain::Month), ranges(&[("2025-01-01", "2025-02-28"), ("2025-06-01", "2025-06-30")]));
        assert_eq!(of(Grain::Year), ranges(&[("2024-04-01", "2026-03-31")]));
        assert!(DayRanges::all().whole_periods(Grain::Year, &calendar).is_all());
        let later = |day: NaiveDate| day.checked_add_days(chrono::Days::new(40));
        assert!(DayRanges::all().map(later, later).is_all());
    }
}
