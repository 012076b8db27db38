//! KPIs in the order of their dependencies, inputs first. Unknown inputs and circles are reported.

use std::collections::{BTreeMap, BTreeSet};

use super::Problems;
use super::arithmetic::inputs_of;
use super::kpis::Context;
use crate::diagnostic::{Diagnostic, nearest};
use crate::load::LoadedDocument;
use crate::spec::{KpiSpec, Spanned};

/// KPI names, inputs first. Unknown inputs and cycles are reported.
pub(super) fn in_dependency_order(
    context: &Context,
    specs: &BTreeMap<String, (&LoadedDocument, &KpiSpec)>,
    problems: &mut Problems,
) -> Vec<String> {
    let mut uses: BTreeMap<&str, Vec<Spanned<String>>> = BTreeMap::new();
    for (name, (_, spec)) in specs {
        uses.insert(name, uses_of(context, spec));
        for (input, of) in spec.inputs.iter() {
            if specs.contains_key(&input.value) && of.kpi.value != input.value {
                problems.add(
                    Diagnostic::error("reserved-name", format!("`{}` is the name of another KPI", input.value))
                        .at(input.span)
                        .hint(format!("give the input another name, such as `narrow_{}`", input.value)),
                );
            }
        }
    }
    for input in uses.values().flatten() {
        if !specs.contains_key(&input.value) && !context.broken_kpis.contains(&input.value) {
            let diagnostic =
                Diagnostic::error("unknown-kpi", format!("there is no KPI `{}`", input.value)).at(input.span);
            problems.add(match nearest(&input.value, specs.keys().map(String::as_str)) {
                Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
                None => {
                    diagnostic.hint("without a `from`, names in the value are KPIs or `inputs`; columns need a `from`")
                }
            });
        }
    }
    let mut ordered: Vec<String> = Vec::new();
    let mut reported = BTreeSet::new();
    for name in specs.keys() {
        visit(name, &uses, &mut Vec::new(), &mut ordered, &mut reported, problems);
    }
    ordered
}

/// The KPIs that a definition names: in its value, as inputs and parts, and as its target.
fn uses_of(context: &Context, spec: &KpiSpec) -> Vec<Spanned<String>> {
    let mut uses: Vec<Spanned<String>> = spec.inputs.iter().map(|(_, input)| input.kpi.clone()).collect();
    uses.extend(spec.composite.iter().map(|(name, _)| name.clone()));
    uses.extend(spec.target.iter().filter_map(|target| target.kpi.clone()));
    let value = spec.value.as_ref().filter(|_| spec.from.is_none() && spec.query.is_none());
    let in_value = value
        .and_then(|value| context.language.parse(value).ok())
        .and_then(|parsed| inputs_of(context, &parsed).ok())
        .map(|uses| uses.inputs.into_iter().map(|used| used.kpi).collect::<Vec<_>>())
        .unwrap_or_default();
    uses.extend(in_value.into_iter().filter(|used| spec.inputs.get(&used.value).is_none()));
    uses
}

fn visit(
    name: &str,
    uses: &BTreeMap<&str, Vec<Spanned<String>>>,
    path: &mut Vec<String>,
    ordered: &mut Vec<String>,
    reported: &mut BTreeSet<String>,
    problems: &mut Problems,
) {
    if ordered.iter().any(|done| done == name) || reported.contains(name) {
        return;
    }
    path.push(name.to_owned());
    for input in uses.get(name).into_iter().flatten() {
        if let Some(start) = path.iter().position(|step| *step == input.value) {
            let cycle = &path[start..];
            if !cycle.iter().any(|step| reported.contains(step)) {
                let round: Vec<&str> = cycle.iter().map(String::as_str).chain([input.value.as_str()]).collect();
                problems.add(
                    Diagnostic::error("cycle", format!("these KPIs need each other: {}", round.join(" -> ")))
                        .at(input.span)
                        .hint("a KPI cannot be computed from itself; leave one of them out"),
                );
                reported.extend(cycle.iter().cloned());
            }
        } else if uses.contains_key(input.value.as_str()) {
            visit(&input.value, uses, path, ordered, reported, problems);
        }
    }
    path.pop();
    if !reported.contains(name) {
        ordered.push(name.to_owned());
    }
}
