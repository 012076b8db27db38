//! What KPIs are for: the objectives and their tree, the KPIs' words about them, and what others reach.
//!
//! Where a project has no objective, a KPI may name one in words of its own. As soon as there is one, names have to be known.

use std::collections::{BTreeMap, BTreeSet};

use super::Problems;
use super::expression::list;
use super::target::date;
use crate::diagnostic::{Diagnostic, nearest};
use crate::load::LoadedDocument;
use crate::model::{Benchmark, Objective};
use crate::spec::{BenchmarkSpec, KpiSpec, ObjectiveSpec, Spanned};

/// The objectives as a tree. Parents that are not known, or that lie below their own child, are reported and left out.
pub(super) fn objectives(
    specs: &BTreeMap<String, &ObjectiveSpec>,
    broken: &BTreeSet<String>,
    problems: &mut Problems,
) -> BTreeMap<String, Objective> {
    let mut reported: BTreeSet<&str> = BTreeSet::new();
    let mut objectives = BTreeMap::new();
    for (name, spec) in specs {
        let under = spec.under.as_ref().filter(|under| match way_back(name, specs) {
            Some(round) => {
                if !round.iter().any(|step| reported.contains(step)) {
                    problems.add(
                        Diagnostic::error(
                            "cycle",
                            format!("these objectives lie under each other: {}", round.join(" -> ")),
                        )
                        .at(under.span)
                        .hint("an objective cannot be a part of itself; leave one `under` out"),
                    );
                    reported.extend(round);
                }
                false
            }
            None => is_known(under, specs, broken, problems),
        });
        let text = |text: &Option<Spanned<String>>| text.as_ref().map(|text| text.value.trim().to_owned());
        let objective = Objective {
            name: name.clone(),
            label: text(&spec.label).unwrap_or_else(|| name.replace('_', " ")),
            description: text(&spec.description),
            owner: text(&spec.owner),
            under: under.filter(|under| specs.contains_key(&under.value)).map(|under| under.value.clone()),
        };
        objectives.insert(name.clone(), objective);
    }
    objectives
}

/// The names from an objective upward until it comes again, if it does.
fn way_back<'a>(name: &'a str, specs: &BTreeMap<String, &'a ObjectiveSpec>) -> Option<Vec<&'a str>> {
    let mut round = vec![name];
    let mut at = name;
    loop {
        at = specs.get(at)?.under.as_ref()?.as_str();
        round.push(at);
        match round.iter().position(|step| *step == at) {
            Some(0) if round.len() > 1 => return Some(round),
            // The circle lies above; its own members tell it.
            Some(first) if first < round.len() - 1 => return None,
            _ => {}
        }
    }
}

/// Whether there is an objective of that name. Its mistakes, if it has any, are told elsewhere.
fn is_known(
    name: &Spanned<String>,
    specs: &BTreeMap<String, &ObjectiveSpec>,
    broken: &BTreeSet<String>,
    problems: &mut Problems,
) -> bool {
    if specs.contains_key(&name.value) || broken.contains(&name.value) {
        return true;
    }
    let diagnostic =
        Diagnostic::error("unknown-objective", format!("there is no objective `{}`", name.value)).at(name.span);
    let known = || specs.keys().map(String::as_str);
    let meant = nearest(name, known()).or_else(|| {
        // In words, as people write it where there are no names.
        let words = name.value.trim().to_lowercase().replace([' ', '-'], "_");
        known().find(|known| *known == words)
    });
    problems.add(match meant {
        Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
        None => diagnostic.hint(format!("the objectives are {}; a new one is a document of its own", list(known()))),
    });
    false
}

/// Reports the objectives that KPIs name and nobody wrote.
pub(super) fn named_objectives(
    objectives: &BTreeMap<String, &ObjectiveSpec>,
    broken: &BTreeSet<String>,
    kpis: &BTreeMap<String, (&LoadedDocument, &KpiSpec)>,
    problems: &mut Problems,
) {
    if objectives.is_empty() && broken.is_empty() {
        return;
    }
    for objective in kpis.values().filter_map(|(_, spec)| spec.objective.as_ref()) {
        is_known(objective, objectives, broken, problems);
    }
}

/// What others reach, as a KPI's definition says.
pub(super) fn benchmarks(specs: &[Spanned<BenchmarkSpec>], problems: &mut Problems) -> Vec<Benchmark> {
    let mut benchmarks = Vec::with_capacity(specs.len());
    for spec in specs {
        let source = spec.source.value.trim();
        if source.is_empty() {
            problems.add(
                Diagnostic::error("missing-key", "the benchmark has no source")
                    .at(spec.source.span)
                    .hint("say where the number comes from, such as `source: Customer survey of 2025`"),
            );
        }
        benchmarks.push(Benchmark {
            value: spec.value.value,
            source: source.to_owned(),
            as_of: date(&spec.as_of, problems),
            sector: spec.sector.as_ref().map(|sector| sector.value.trim().to_owned()),
        });
    }
    benchmarks
}
