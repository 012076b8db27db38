//! The KPIs that cannot be computed because data files cannot be used, where no definition has a mistake. Everything else can
//! run beside them.
//!
//! Whatever reaches such a table counts, by a join, a test or a query, needed or not: a KPI is published with all its
//! breakdowns and after all its tests, or not at all. What is wrong with the files is told by their diagnostics.

use std::collections::{BTreeMap, BTreeSet};

use super::included::{served, tags};
use super::tables::{State, Tables};
use super::{UNREACHABLE_SOURCE, UNREADABLE_SOURCE};
use crate::diagnostic::Diagnostic;
use crate::load::LoadedDocument;
use crate::model::{Kpi, Objective, Origin};
use crate::spec::{KpiSpec, TableSpec};

/// A KPI whose data cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    pub reason: String,
    pub tags: BTreeSet<String>,
    /// The objective that it serves, and the larger ones.
    pub objectives: BTreeSet<String>,
}

/// Whether an error is about data and not about a definition.
pub fn is_about_data(error: &Diagnostic) -> bool {
    [UNREADABLE_SOURCE, UNREACHABLE_SOURCE].contains(&error.code)
}

/// What is written, and what has come of it.
pub(super) struct Outcome<'a> {
    pub tables: &'a Tables,
    pub table_specs: &'a BTreeMap<String, &'a TableSpec>,
    pub kpi_specs: &'a BTreeMap<String, (&'a LoadedDocument, &'a KpiSpec)>,
    pub objectives: &'a BTreeMap<String, Objective>,
    pub hidden: &'a BTreeSet<String>,
    /// The KPIs that can run, as far as their definitions go, each behind its inputs.
    pub ready: &'a [&'a Kpi],
    pub skipped: &'a BTreeSet<&'a str>,
}

/// The KPIs whose data cannot be used, by name.
pub(super) fn unusable(outcome: &Outcome<'_>) -> BTreeMap<String, Unusable> {
    // The tables that each of them would need.
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    if outcome.broken_files(outcome.table_specs.keys().map(String::as_str)).is_empty() {
        return BTreeMap::new();
    }
    let is_ready = |name: &str| outcome.ready.iter().any(|kpi| kpi.name == name);
    for (name, (_, spec)) in outcome.kpi_specs {
        if !is_ready(name) && !outcome.skipped.contains(name.as_str()) {
            let own = outcome.broken_files(spec.from.iter().map(|from| from.value.as_str()));
            let all = || outcome.broken_files(outcome.table_specs.keys().map(String::as_str));
            found.insert(name.clone(), if own.is_empty() { all() } else { own });
        }
    }
    for kpi in outcome.ready {
        let name = kpi.variant_of.as_ref().unwrap_or(&kpi.name);
        let spec = outcome.kpi_specs.get(name).map(|(_, spec)| *spec);
        // A target that cannot be used was left out, since its table or KPI is told elsewhere.
        let target = spec.and_then(|spec| spec.target.as_ref());
        let table_of_targets = target.and_then(|target| target.table.as_ref()).map(|table| table.value.as_str());
        let own = kpi.aggregate().map(|aggregate| aggregate.table.as_str());
        let conversions =
            spec.and_then(|spec| spec.conversion.as_ref()).map(|conversion| conversion.from.value.as_str());
        let tables = kpi.reads.keys().map(String::as_str).chain(own).chain(conversions).chain(table_of_targets);
        let mut broken = outcome.broken_files(tables);
        let targeted = target.and_then(|target| target.kpi.as_ref()).map(|kpi| kpi.value.as_str());
        let below = kpi.inputs().into_iter().chain(targeted).filter_map(|input| found.get(input));
        broken.extend(below.flatten().cloned().collect::<Vec<_>>());
        if !broken.is_empty() {
            // A variant is not there without the KPI that it is one of.
            found.entry(kpi.name.clone()).or_default().extend(broken.iter().cloned());
            found.entry(name.clone()).or_default().extend(broken);
        }
    }
    outcome.told(found)
}

impl Outcome<'_> {
    /// The tables with files that cannot be used, among some and those that these reach.
    fn broken_files<'s>(&'s self, from: impl Iterator<Item = &'s str>) -> BTreeSet<String> {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut waiting: Vec<&str> = from.collect();
        let mut broken = BTreeSet::new();
        while let Some(table) = waiting.pop() {
            let Some(spec) = self.table_specs.get(table).filter(|_| seen.insert(table)) else { continue };
            match self.tables.states.get(table) {
                Some(State::Broken) if spec.query.is_none() => drop(broken.insert(table.to_owned())),
                // What a query that could not be planned reads, nobody knows.
                Some(State::Broken) => waiting.extend(self.table_specs.keys().map(String::as_str)),
                Some(State::Ready(ready)) => {
                    if let Origin::Query { tables } = &ready.origin {
                        waiting.extend(tables.iter().map(String::as_str));
                    }
                }
                Some(State::Absent(_)) | None => {}
            }
            waiting.extend(spec.joins.iter().map(|(_, join)| join.table.value.as_str()));
            let tests = spec.columns.iter().flat_map(|(_, column)| column.tests.iter().flatten());
            let relationships = tests.filter_map(|test| test.relationship.as_ref());
            waiting.extend(relationships.map(|named| named.value.split('.').next().unwrap_or_default()));
        }
        broken
    }

    /// What to say of them; of hidden ones nothing.
    fn told(&self, found: BTreeMap<String, BTreeSet<String>>) -> BTreeMap<String, Unusable> {
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        let tell = |(name, broken): (String, BTreeSet<String>)| {
            let (document, spec) = self.kpi_specs.get(&name).filter(|_| !self.hidden.contains(&name))?;
            let tables: Vec<String> = broken.iter().map(|table| format!("`{table}`")).collect();
            let reason = format!("files of {} cannot be used", tables.join(", "));
            let (tags, objectives) = (owned(tags(document, spec)), owned(served(spec, self.objectives)));
            Some((name, Unusable { reason, tags, objectives }))
        };
        found.into_iter().filter_map(tell).collect()
    }
}
