//! Indices over other KPIs: every part is there, has a target to be measured by, and a weight.

use super::Problems;
use super::arithmetic::{finer_than_input, misplaced_keys, needs_dimensions, shares_dimension};
use super::kpis::{Checked, Context, Shaped};
use super::variant::{Change, Varied, variant};
use crate::diagnostic::Diagnostic;
use crate::model::{Composite, Part, Shape};
use crate::spec::KpiSpec;
use crate::time::Grain;
use datafusion::arrow::datatypes::DataType;

pub(super) fn composite(context: &Context, spec: &KpiSpec, all: &mut Checked, problems: &mut Problems) -> Shaped {
    let before = problems.count();
    misplaced_keys(spec, problems);
    let value = spec.value.as_ref().map(|key| ("value", key.span));
    let window = spec.window.as_ref().or(spec.to_date.as_ref()).map(|key| ("window", key.span));
    let inputs = spec.inputs.iter().next().map(|(name, _)| ("inputs", name.span));
    for (key, span) in value.into_iter().chain(window).chain(inputs) {
        problems.add(
            Diagnostic::error("misplaced-key", format!("`{key}` has no meaning beside `composite`"))
                .at(span)
                .hint("an index is made of its parts and their targets; leave it out"),
        );
    }
    let grains: Vec<Grain> = spec.grains.iter().flatten().filter_map(|word| word.parse().ok()).collect();
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
        finer_than_input(&kpi, &all.ready, &grains, spec, problems);
        let wanted = spec.by.iter().flatten().flat_map(|set| set.items());
        for dimension in wanted.chain(spec.required_dimensions.iter().flatten().cloned()) {
            shares_dimension(context, &kpi, &dimension, &all.ready, problems);
        }
        let change = Change { conditions: spec.condition.iter().collect(), window: None, place: None };
        match variant(context, &name.value, &change, all, problems) {
            Varied::Ready(kpi) => {
                parts.push(Part { kpi, weight: part.weight, floor: part.floor.unwrap_or(0.0) });
            }
            Varied::Missing(table) => return Shaped::Skipped(format!("it needs table `{table}`, which has no data")),
            Varied::Broken => return Shaped::Broken,
        }
    }
    match problems.count() > before {
        true => Shaped::Broken,
        false => Shaped::Ready(Shape::Composite(Composite { parts }), DataType::Float64),
    }
}
