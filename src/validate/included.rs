//! Which KPIs of a project nobody wants to see by themselves: those that say so, and those that an `include` leaves out.
//!
//! They are checked like all others, for others may need them. What an included definition says is not judged here.

use std::collections::{BTreeMap, BTreeSet};

use super::Problems;
use super::expression::list;
use crate::diagnostic::{Diagnostic, nearest};
use crate::load::LoadedDocument;
use crate::model::{Objective, with_larger};
use crate::spec::{KpiSpec, ProjectSpec, Spanned};

/// The names of the KPIs that are hidden.
pub(super) fn hidden(
    project: Option<&ProjectSpec>,
    kpis: &BTreeMap<String, (&LoadedDocument, &KpiSpec)>,
    objectives: &BTreeMap<String, Objective>,
    problems: &mut Problems,
) -> BTreeSet<String> {
    let include = project.and_then(|project| project.include.as_ref());
    let wanted =
        include.and_then(|include| include.kpis.as_ref()).map(|words| selected(words, kpis, objectives, problems));
    let unwanted =
        include.and_then(|include| include.hide.as_ref()).map(|words| selected(words, kpis, objectives, problems));
    let is_hidden = |name: &String, document: &LoadedDocument, spec: &KpiSpec| {
        let says_so = spec.hide.as_ref().is_some_and(|hide| hide.value);
        let is_left_out = document.is_included && wanted.as_ref().is_some_and(|wanted| !wanted.contains(name));
        says_so || is_left_out || unwanted.as_ref().is_some_and(|unwanted| unwanted.contains(name))
    };
    let hidden = kpis.iter().filter(|(name, (document, spec))| is_hidden(name, document, spec));
    hidden.map(|(name, _)| name.clone()).collect()
}

/// The KPIs that a list of names, `tag:` and `objective:` words means. Whatever serves a part of an objective serves it.
fn selected(
    words: &[Spanned<String>],
    kpis: &BTreeMap<String, (&LoadedDocument, &KpiSpec)>,
    objectives: &BTreeMap<String, Objective>,
    problems: &mut Problems,
) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for word in words {
        let (what, name, names_of): (_, _, NamesOf) = match word.split_once(':') {
            Some(("tag", tag)) => ("tag", tag, &tags),
            Some(("objective", objective)) => ("objective", objective, &|_, spec| served(spec, objectives)),
            _ if kpis.contains_key(&word.value) => {
                found.insert(word.value.clone());
                continue;
            }
            _ => {
                let mistake =
                    Diagnostic::error("unknown-kpi", format!("there is no KPI `{}`", word.value)).at(word.span);
                problems.add(match nearest(word, kpis.keys().map(String::as_str)) {
                    Some(near) => mistake.hint(format!("did you mean `{near}`?")),
                    None => mistake.hint("write names of KPIs, `tag:NAME` or `objective:NAME`; `kpi ls` lists them"),
                });
                continue;
            }
        };
        let meant = kpis.iter().filter(|(_, (document, spec))| names_of(document, spec).contains(&name));
        let before = found.len();
        found.extend(meant.map(|(name, _)| name.clone()));
        if found.len() == before {
            let all: BTreeSet<&str> = kpis.values().flat_map(|(document, spec)| names_of(document, spec)).collect();
            let mistake = Diagnostic::error("unknown-kpi", format!("no KPI has the {what} `{name}`")).at(word.span);
            problems.add(match nearest(name, all.iter().copied()) {
                Some(near) => mistake.hint(format!("did you mean `{what}:{near}`?")),
                None if all.is_empty() => mistake.hint(format!("no KPI has a {what}; write names of KPIs")),
                None => mistake.hint(format!("write {}", list(all.into_iter()))),
            });
        }
    }
    found
}

type NamesOf<'k> = &'k dyn Fn(&'k LoadedDocument, &'k KpiSpec) -> Vec<&'k str>;

pub(super) fn tags<'a>(document: &'a LoadedDocument, spec: &'a KpiSpec) -> Vec<&'a str> {
    let own = spec.tags.iter().flatten().map(|tag| tag.value.as_str());
    document.folder_tag.iter().map(String::as_str).chain(own).collect()
}

pub(super) fn served<'a>(spec: &'a KpiSpec, objectives: &'a BTreeMap<String, Objective>) -> Vec<&'a str> {
    spec.objective.as_ref().map(|objective| with_larger(objectives, objective)).unwrap_or_default()
}
