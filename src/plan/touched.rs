//! What a change of the data touches: the periods of each KPI whose values may be others now, and the days whose rows have
//! to be read to compute these again.
//!
//! Both err on the side of too much. A period that is not named here has the value that it had.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Days, NaiveDate};

use super::Wanted;
use crate::days::DayRanges;
use crate::model::{
    Aggregate, Earlier, Goal, Input, Kpi, Length, Model, Placement, Shape, Subject, Target, Window, Within,
};
use crate::time::{Calendar, Grain};

/// Days of whole periods, by grain.
pub type ByGrain = BTreeMap<Grain, DayRanges>;

/// What is different in the data of a KPI that reads a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// The days of rows that came, went or changed, and those on which the data begins, ends or becomes complete.
    pub days: DayRanges,
    /// The days that have become complete, or are no longer.
    pub settled: DayRanges,
}

/// The periods of a KPI, by its grains, that changes of the KPIs that read tables touch. Those that fill with zero for each
/// member have a row in every period for one that is new, unless somebody looks to it that none is.
pub fn touched(
    model: &Model,
    changes: &BTreeMap<String, Change>,
    without_new_members: &BTreeSet<String>,
    kpi: &Kpi,
) -> ByGrain {
    let data = Data { changes, without_new_members };
    kpi.grains.iter().map(|grain| (*grain, touched_at(model, &data, kpi, *grain))).collect()
}

/// Whether a KPI has a row for each member in every period.
pub fn is_filled_by_member(kpi: &Kpi) -> bool {
    kpi.aggregate().is_some_and(|aggregate| aggregate.fill_zero && !aggregate.dimensions.is_empty())
}

/// What is different in the data.
struct Data<'a> {
    changes: &'a BTreeMap<String, Change>,
    without_new_members: &'a BTreeSet<String>,
}

fn touched_at(model: &Model, data: &Data, kpi: &Kpi, grain: Grain) -> DayRanges {
    let changes = data.changes;
    let calendar = &model.project.calendar;
    let of = |name: &str| match model.kpis.get(name) {
        Some(kpi) => touched_at(model, data, kpi, grain),
        None => DayRanges::all(),
    };
    let own = changes.get(&kpi.name);
    let mut days = match &kpi.shape {
        Shape::Aggregate(aggregate) => {
            let is_every_period = is_filled_by_member(kpi) && !data.without_new_members.contains(&kpi.name);
            match own {
                Some(change) if is_every_period && !change.days.is_empty() => DayRanges::all(),
                Some(change) => spread(aggregate, &change.days, calendar),
                None => DayRanges::none(),
            }
        }
        // Which rows a query makes a period of, nobody knows.
        Shape::Query(_) => match own {
            Some(change) if !change.days.is_empty() => DayRanges::all(),
            Some(_) | None => DayRanges::none(),
        },
        Shape::Arithmetic(arithmetic) => {
            let each = |input: &Input| {
                let days = of(&input.kpi);
                // Where the data of an earlier input ends also says which periods there are today, which of them are complete,
                // and how much of the one before an open one counts.
                [as_of_later(&days, input.earlier, grain, calendar), days]
            };
            arithmetic.inputs.iter().flat_map(each).collect()
        }
        Shape::Composite(composite) => composite.parts.iter().map(|part| of(&part.kpi)).collect(),
    };
    for target in targets(model, kpi) {
        days.extend(&of(target));
    }
    if let Some(wait) = kpi.ripens {
        // A period is ripe once everything up to so many days behind it is complete.
        let (least, most) = wait_in_days(wait);
        // A day more on both sides, for waits that count from the end of a period or of a day.
        let ripened = settled(model, changes, kpi)
            .map(|first| before(first, most + 1), |last| before(last, least.saturating_sub(1)));
        days.extend(&ripened);
    }
    days.whole_periods(grain, calendar)
}

/// The KPIs that a KPI, or a part of it, is measured against.
fn targets<'a>(model: &'a Model, kpi: &'a Kpi) -> impl Iterator<Item = &'a str> {
    let parts = match &kpi.shape {
        Shape::Composite(composite) => composite.parts.as_slice(),
        Shape::Aggregate(_) | Shape::Arithmetic(_) | Shape::Query(_) => &[],
    };
    let parts = parts.iter().filter_map(|part| model.kpis.get(&part.kpi).map(AsRef::as_ref));
    [kpi].into_iter().chain(parts).filter_map(|kpi| match &kpi.target {
        Some(Target { goal: Goal::Kpi { kpi, .. }, .. }) => Some(kpi.as_str()),
        Some(_) | None => None,
    })
}

/// The days that have become complete, or are no longer, of anything that a KPI is made of.
fn settled(model: &Model, changes: &BTreeMap<String, Change>, kpi: &Kpi) -> DayRanges {
    let mut days = changes.get(&kpi.name).map(|change| change.settled.clone()).unwrap_or_default();
    for input in kpi.value_inputs().into_iter().filter_map(|input| model.kpis.get(input)) {
        days.extend(&settled(model, changes, input));
    }
    days
}

/// The days in whose periods rows of some days count.
fn spread(aggregate: &Aggregate, days: &DayRanges, calendar: &Calendar) -> DayRanges {
    let days = match &aggregate.subject {
        _ if days.is_empty() => return DayRanges::none(),
        // Somebody's first event moves all that follows.
        Subject::Cohorts(_) => return DayRanges::all(),
        Subject::Conversions(conversions) => {
            // An event takes conversions from those before it, and gives what it had to them.
            let (_, most) = wait_in_days(conversions.within);
            days.map(|first| before(first, most + 1), |last| behind(last, most + 1))
        }
        Subject::Rows | Subject::Entities(_) | Subject::Funnel(_) => days.clone(),
    };
    match &aggregate.placement {
        Placement::Event => days,
        Placement::Window(Window::Trailing(length)) => {
            let (_, most) = in_days(*length);
            days.map(Some, |last| behind(last, most + 1))
        }
        Placement::Window(Window::ToDate(unit)) => days.map(Some, |last| last_of(last, *unit, calendar)),
        Placement::Window(Window::All) | Placement::Stock(_) | Placement::Boundaries(_) => days.map(Some, |_| None),
    }
}

/// The days of rows that the value of some periods is made of.
fn read_for(aggregate: &Aggregate, periods: &DayRanges, calendar: &Calendar) -> DayRanges {
    if matches!(aggregate.subject, Subject::Cohorts(_)) {
        return DayRanges::all();
    }
    match &aggregate.placement {
        Placement::Event => periods.clone(),
        Placement::Window(Window::Trailing(length)) => {
            let (_, most) = in_days(*length);
            periods.map(|first| before(first, most + 1), Some)
        }
        Placement::Window(Window::ToDate(unit)) => periods.map(|first| calendar.period_start(first, *unit), Some),
        Placement::Window(Window::All) | Placement::Stock(_) | Placement::Boundaries(_) => DayRanges::all(),
    }
}

/// The days that have to be read for each KPI with an aggregate of its own; where one is missing, all.
pub(super) fn days_read(model: &Model, kpis: &[Wanted]) -> BTreeMap<String, DayRanges> {
    let calendar = &model.project.calendar;
    let mut asked: BTreeMap<String, ByGrain> = BTreeMap::new();
    let ask = |asked: &mut BTreeMap<String, ByGrain>, name: &str, grain: Grain, days: &DayRanges| {
        asked.entry(name.to_owned()).or_default().entry(grain).or_default().extend(days);
    };
    for Wanted { name, cells, only } in kpis {
        for cell in cells {
            let all = DayRanges::all();
            let days = only.as_ref().map_or(&all, |only| only.get(&cell.grain).unwrap_or(&all));
            ask(&mut asked, name, cell.grain, days);
        }
    }
    let mut read = BTreeMap::new();
    for name in model.order.iter().rev() {
        let Some(by_grain) = asked.get(name).cloned() else { continue };
        let kpi = &model.kpis[name];
        for (grain, days) in &by_grain {
            let days = days.whole_periods(*grain, calendar);
            match &kpi.shape {
                Shape::Aggregate(_) | Shape::Query(_) => {}
                Shape::Arithmetic(arithmetic) => {
                    for input in &arithmetic.inputs {
                        ask(&mut asked, &input.kpi, *grain, &as_of_earlier(&days, input.earlier, *grain, calendar));
                    }
                }
                Shape::Composite(composite) => {
                    composite.parts.iter().for_each(|part| ask(&mut asked, &part.kpi, *grain, &days));
                }
            }
            targets(model, kpi).for_each(|target| ask(&mut asked, target, *grain, &days));
        }
        if let Shape::Aggregate(aggregate) = &kpi.shape {
            let of = |(grain, days): (&Grain, &DayRanges)| {
                read_for(aggregate, &days.whole_periods(*grain, calendar), calendar)
            };
            let days: DayRanges = by_grain.iter().map(of).collect();
            if !days.is_all() {
                read.insert(name.clone(), days);
            }
        }
    }
    read
}

/// The periods that look back at periods of these days.
fn as_of_later(days: &DayRanges, earlier: Option<Earlier>, grain: Grain, calendar: &Calendar) -> DayRanges {
    match earlier {
        None => days.clone(),
        Some(Earlier::Previous(previous)) => {
            previous.periods(grain).map_or_else(DayRanges::all, |count| shifted(days, grain, count, calendar))
        }
        Some(Earlier::StartOf(unit)) => days.map(Some, |last| last_of(last, unit, calendar)),
    }
}

/// The periods that periods of these days look back at.
fn as_of_earlier(days: &DayRanges, earlier: Option<Earlier>, grain: Grain, calendar: &Calendar) -> DayRanges {
    match earlier {
        None => days.clone(),
        Some(Earlier::Previous(previous)) => {
            previous.periods(grain).map_or_else(DayRanges::all, |count| shifted(days, grain, -count, calendar))
        }
        Some(Earlier::StartOf(unit)) => days.map(|first| calendar.period_start(first, unit), Some),
    }
}

/// So many periods later.
fn shifted(days: &DayRanges, grain: Grain, count: i64, calendar: &Calendar) -> DayRanges {
    let start = |day| calendar.shift(calendar.period_start(day, grain)?, grain, count);
    days.map(start, |last| calendar.period_end(start(last)?, grain)?.pred_opt())
}

/// The last day of the period that a day lies in.
fn last_of(day: NaiveDate, grain: Grain, calendar: &Calendar) -> Option<NaiveDate> {
    calendar.period_end(calendar.period_start(day, grain)?, grain)?.pred_opt()
}

fn before(day: NaiveDate, days: u64) -> Option<NaiveDate> {
    day.checked_sub_days(Days::new(days))
}

fn behind(day: NaiveDate, days: u64) -> Option<NaiveDate> {
    day.checked_add_days(Days::new(days))
}

/// The fewest and the most days that a length may have.
fn in_days(Length { count, unit }: Length) -> (u64, u64) {
    let (least, most) = match unit {
        Grain::Day => (1, 1),
        Grain::Week => (7, 7),
        Grain::Month => (28, 31),
        Grain::Quarter => (89, 92),
        Grain::Year => (365, 366),
    };
    let count = u64::try_from(count).unwrap_or(0);
    (count.saturating_mul(least), count.saturating_mul(most))
}

fn wait_in_days(wait: Within) -> (u64, u64) {
    match wait {
        Within::Calendar(length) => in_days(length),
        // Up to a day of hours ends on the next day at the latest.
        Within::Seconds(seconds) => {
            let days = u64::try_from((seconds + 86_399) / 86_400).unwrap_or(0);
            (days, days + 1)
        }
    }
}
