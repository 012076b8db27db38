//! Indices over other KPIs: every part is there, has a target to be measured by, and a weight.

use super::Problems;
use super::arithmetic::{can_be_read, misplaced_keys, needs_dimensions, shares_dimension};
use super::kpis::{Checked, Context, Shaped};
use crate::diagnostic::Diagnostic;
use crate::model::{Composite, Goal, Kpi, Part, ROWS, Shape};
use crate::spec::{KpiSpec, PartSpec, Spanned};
use crate::time::Grain;
use datafusion::arrow::datatypes::DataType;

pub(super) fn composite(
    context: &Context,
    spec: &KpiSpec,
    grains: &[Grain],
    all: &Checked,
    problems: &mut Problems,
) -> Shaped {
    let before = problems.count();
    misplaced_keys(spec, problems);
    let value = spec.value.as_ref().map(|key| ("value", key.span));
    let window = spec.window.as_ref().or(spec.to_date.as_ref()).map(|key| ("window", key.span));
    let inputs = spec.inputs.iter().next().map(|(name, _)| ("inputs", name.span));
    // Its parts would be narrowed, and what is wanted of them not.
    let condition = spec.condition.as_ref().map(|key| ("where", key.span));
    for (key, span) in value.into_iter().chain(window).chain(inputs).chain(condition) {
        problems.add(
            Diagnostic::error("misplaced-key", format!("`{key}` has no meaning beside `composite`"))
                .at(span)
                .hint("an index is made of its parts and their targets; leave it out"),
        );
    }
    let mut parts = Vec::new();
    for (name, part) in spec.composite.iter() {
        if let Some(reason) = all.skipped.get(&name.value) {
            return Shaped::Skipped(format!("it needs `{}`, and {reason}", name.value));
        }
        let Some(kpi) = all.ready.get(&name.value).cloned() else { return Shaped::Broken };
        if kpi.target.is_none() {
            problems.add(
                Diagnostic::error("no-target", format!("`{}` has no target to be measured by", name.value))
                    .at(name.span)
                    .hint(format!("give `{}` a `target`, or leave it out of the index", name.value)),
            );
        }
        if !(part.weight > 0.0 && part.weight.is_finite()) {
            problems.add(
                Diagnostic::error("wrong-value", format!("the weight of `{}` is not above 0", name.value))
                    .at(part.span)
                    .hint("such as `0.25`; weights need not add up to 1"),
            );
        }
        needs_dimensions(&kpi, spec, name.span, problems);
        can_be_read(&kpi, name.span, &all.ready, grains, spec, problems);
        is_above_floor(&kpi, name, part, problems);
        let wanted = spec.by.iter().flatten().flat_map(|set| set.items());
        for dimension in wanted.chain(spec.required_dimensions.iter().flatten().cloned()) {
            shares_dimension(context, &kpi, &dimension, &all.ready, problems);
        }
        parts.push(Part { kpi: kpi.name.clone(), weight: part.weight, floor: part.floor.unwrap_or(0.0) });
    }
    let dimensions: Vec<String> = spec.by.iter().flatten().flat_map(|set| set.items()).map(|name| name.value).collect();
    let is_taken = |name: &&Spanned<String>| {
        ["before", "period_start", ROWS].contains(&name.as_str())
            || dimensions.contains(&name.value)
            || spec.required_dimensions.iter().flatten().any(|required| required.value == name.value)
    };
    if let Some(name) = spec.composite.iter().map(|(name, _)| name).find(is_taken) {
        problems.add(
            Diagnostic::error("reserved-name", format!("`{}` means two things in this KPI", name.value))
                .at(name.span)
                .hint("give the KPI, or the dimension of that name, another name"),
        );
    }
    match problems.count() > before {
        true => Shaped::Broken,
        false => Shaped::Ready(Shape::Composite(Composite { parts }), DataType::Float64),
    }
}

/// A target at the least value that there is says nothing of the way to it.
fn is_above_floor(kpi: &Kpi, name: &Spanned<String>, part: &Spanned<PartSpec>, problems: &mut Problems) {
    let wanted = match kpi.target.as_ref().map(|target| &target.goal) {
        Some(Goal::Value { value, .. }) => *value,
        Some(Goal::Between { low, .. }) => *low,
        Some(Goal::Kpi { .. } | Goal::Table { .. }) | None => return,
    };
    let floor = part.floor.unwrap_or(0.0);
    if wanted > floor {
        return;
    }
    problems.add(
        Diagnostic::error(
            "wrong-value",
            format!("the target of `{}` is {wanted}, which is not above the least value, {floor}", name.value),
        )
        .at(part.span)
        .hint(format!("say what the least value is: `{}: {{weight: {}, floor: -100}}`", name.value, part.weight)),
    );
}
