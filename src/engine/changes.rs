//! What has changed since a result was computed, so that a run computes the periods anew that this touches, and keeps the
//! others as they are published.
//!
//! Whatever cannot be proven untouched is computed again as a whole. How far a change reaches is said in `plan`.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::Engine;
use super::inputs::Inputs;
use super::patch::known_members;
use crate::compile::{Extent, Members};
use crate::days::{DayRanges, text};
use crate::error::Result;
use crate::model::{Aggregate, Goal, Kpi, Model, Shape, Target, below};
use crate::plan::{self, ByGrain, Change};
use crate::store::{LogRecord, Store};
use crate::survey::{Events, FileDays, Survey, partners, tables_of, with_those_behind};

/// What is noted beside a result, to compute the next one from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Basis {
    /// The day up to which rows counted.
    #[serde(with = "text")]
    as_of: NaiveDate,
    /// The days that the data of each KPI below covered; of one without rows there are none.
    extents: BTreeMap<String, Extent>,
}

impl Basis {
    pub fn of(engine: &Engine, kpi: &Kpi, survey: &Survey) -> Basis {
        let below = below(engine.model(), &BTreeSet::from([kpi.name.clone()]));
        let extents = below.iter().filter_map(|kpi| Some((kpi.name.clone(), *survey.extents.get(&kpi.name)?)));
        Basis { as_of: engine.as_of.day, extents: extents.collect() }
    }

    /// The days that the data covered then or covers now, and those between them.
    fn covered(&self, survey: &Survey) -> DayRanges {
        let now = self.extents.keys().filter_map(|kpi| survey.extents.get(kpi));
        let both = || self.extents.values().chain(now.clone());
        let ends = both().map(|extent| extent.first).min().zip(both().map(|extent| extent.last).max());
        ends.map_or_else(DayRanges::all, |(first, last)| DayRanges::of(first, last))
    }
}

/// A version from whose results the next ones can be computed.
struct Before {
    record: LogRecord,
    /// What its files covered.
    files: FileDays,
    /// The tables whose files are others now.
    changed: BTreeSet<String>,
}

/// What of the published results can stay.
#[derive(Default)]
pub(super) struct Kept {
    /// The periods of KPIs that have to be computed, by grain. Of a KPI that is missing here, all have to be.
    pub periods: BTreeMap<String, ByGrain>,
    /// The members that those had which have a row for each in every period.
    pub members: Members,
}

impl Engine {
    /// Which periods of these KPIs, the changed ones that can be computed, have to be; those of the days that are asked for
    /// among them.
    pub(super) async fn kept(
        &self,
        store: &Store,
        head: Option<&LogRecord>,
        inputs: &Inputs,
        survey: &Survey,
        kpis: &BTreeSet<String>,
        asked: &DayRanges,
    ) -> Result<Kept> {
        let mut kept = Kept::default();
        let Some(head) = head else { return Ok(kept) };
        let model = self.model();
        let versions = self.versions_behind(store, head, inputs, kpis).await?;
        for name in model.order.iter().filter(|name| kpis.contains(*name)) {
            let kpi = &model.kpis[name];
            let Some(entry) = head.kpis.get(name).filter(|entry| entry.fingerprint == kpi.fingerprint) else {
                continue;
            };
            let Some(before) = versions.get(&entry.committed_in) else { continue };
            let basis = entry.basis.clone().and_then(|basis| serde_json::from_value::<Basis>(basis).ok());
            let Some(basis) = basis else { continue };
            if !store.has_files(entry).await? {
                continue;
            }
            let Some(changes) = changes(model, kpi, before, &basis, inputs, survey, self.as_of.day) else { continue };
            let watched = watched(model, head, before, &kept, name);
            let mut periods = plan::touched(model, &changes, &watched, kpi);
            for (grain, days) in &mut periods {
                days.extend(&asked.whole_periods(*grain, &model.project.calendar));
            }
            let covered = basis.covered(survey);
            if periods.values().all(|days| days.has_all_of(&covered)) {
                continue;
            }
            for input in watched {
                if kept.members.contains_key(&input) {
                    continue;
                }
                // A damaged file is found when it is patched, and then everything is computed.
                let published = store.read_kpi(head, &input).await.ok().flatten().unwrap_or_default();
                let members = known_members(&plan::cells(model, &input), &published)?;
                kept.members.insert(input, members);
            }
            kept.periods.insert(name.clone(), periods);
        }
        Ok(kept)
    }

    /// The versions that brought the results of these KPIs, as far as they are kept.
    async fn versions_behind(
        &self,
        store: &Store,
        head: &LogRecord,
        inputs: &Inputs,
        kpis: &BTreeSet<String>,
    ) -> Result<BTreeMap<u64, Before>> {
        let model = self.model();
        let versions = kpis.iter().filter_map(|name| Some(head.kpis.get(name)?.committed_in));
        let mut found = BTreeMap::new();
        for version in versions.collect::<BTreeSet<u64>>() {
            let record = if version == head.version { Some(head.clone()) } else { store.record(version).await? };
            let Some(record) = record else { continue };
            let files = Inputs::known_days(model, &record);
            let changed = inputs.changed_since_record(model, &record);
            found.insert(version, Before { record, files, changed });
        }
        Ok(found)
    }
}

/// The KPIs with a row for each member in every period, among one and those below it, of which this run sees whether they have
/// other members now: they have a result of their own from the same run, and this run computes periods of it as well.
fn watched(model: &Model, head: &LogRecord, before: &Before, kept: &Kept, name: &String) -> BTreeSet<String> {
    let is_watched = |input: &String| {
        let (now, then) = (head.kpis.get(input), before.record.kpis.get(input));
        let is_the_same = now.is_some_and(|now| then.is_some_and(|then| now.files == then.files));
        let is_of_one_run = then.is_some_and(|then| then.committed_in == before.record.version);
        let is_computed = input == name || kept.periods.contains_key(input);
        is_the_same && is_of_one_run && is_computed && has_cells(model, input, name)
    };
    let below = below(model, &BTreeSet::from([name.clone()]));
    let filled = below.into_iter().filter(|kpi| plan::is_filled_by_member(kpi)).map(|kpi| kpi.name.clone());
    filled.filter(is_watched).collect()
}

/// Whether a KPI has all cells of another one that have members.
fn has_cells(model: &Model, kpi: &str, other: &str) -> bool {
    let own = plan::cells(model, kpi);
    let others = plan::cells(model, other);
    let mut by_member = others.iter().filter(|cell| !cell.dimensions.is_empty());
    by_member.all(|cell| own.iter().any(|own| own.is_same_as(cell)))
}

/// What is different for each KPI below one that reads a table; `None` where nobody can say how far it reaches.
fn changes(
    model: &Model,
    kpi: &Kpi,
    before: &Before,
    basis: &Basis,
    inputs: &Inputs,
    survey: &Survey,
    as_of: NaiveDate,
) -> Option<BTreeMap<String, Change>> {
    let mut changes = BTreeMap::new();
    for kpi in below(model, &BTreeSet::from([kpi.name.clone()])) {
        if let Some(Target { goal: Goal::Table { table, .. }, .. }) = &kpi.target
            && !with_those_behind(model, [table.table.clone()]).is_disjoint(&before.changed)
        {
            return None;
        }
        let mut days = match &kpi.shape {
            Shape::Aggregate(aggregate) => changed_rows(model, kpi, aggregate, before, inputs, &survey.files)?,
            Shape::Query(_) if !tables_of(model, kpi).is_disjoint(&before.changed) => return None,
            Shape::Query(_) => DayRanges::none(),
            Shape::Arithmetic(_) | Shape::Composite(_) => continue,
        };
        let (then, now) = (basis.extents.get(&kpi.name), survey.extents.get(&kpi.name));
        let mut settled = DayRanges::none();
        if then != now {
            let (then, now) = then.zip(now)?;
            let between = |one: NaiveDate, other: NaiveDate| DayRanges::of(one.min(other), one.max(other));
            if then.first != now.first {
                days.extend(&between(then.first, now.first));
            }
            days.extend(&between(then.last, now.last));
            if then.complete_until != now.complete_until {
                settled = between(then.complete_until, now.complete_until);
                days.extend(&settled);
            }
        }
        if basis.as_of != as_of {
            // The earlier day itself is looked at no further: its rows counted then and count now.
            let (one, other) = (basis.as_of.min(as_of), basis.as_of.max(as_of));
            days.extend(&DayRanges::of(one.succ_opt().unwrap_or(one), other));
        }
        changes.insert(kpi.name.clone(), Change { days, settled });
    }
    Some(changes)
}

/// The days of rows that came, went or changed; `None` where they are unknown, or something else has changed too.
fn changed_rows(
    model: &Model,
    kpi: &Kpi,
    aggregate: &Aggregate,
    before: &Before,
    inputs: &Inputs,
    now: &FileDays,
) -> Option<DayRanges> {
    if tables_of(model, kpi).is_disjoint(&before.changed) {
        return Some(DayRanges::none());
    }
    // What a row is joined with may change it on any day.
    let joined = with_those_behind(model, partners(model, kpi).into_iter().map(|partner| partner.table));
    if !joined.is_disjoint(&before.changed) {
        return None;
    }
    let mut days = DayRanges::none();
    for events in Events::all_of(aggregate) {
        let changed = with_those_behind(model, [events.table.clone()]);
        if changed.is_disjoint(&before.changed) {
            continue;
        }
        let key = events.key(model)?;
        let (came, went) = inputs.difference(model, &before.record, &events.table)?;
        for file in &came {
            days.extend(&now.of(&key, file)?.days());
        }
        for file in &went {
            days.extend(&before.files.of(&key, file)?.days());
        }
    }
    Some(days)
}
