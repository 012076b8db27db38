//! Advice: what a definition without a mistake still leaves open, so that its KPI is of less use than it could be.
//!
//! Each practice is a function of its own, from definitions to diagnostics. Nothing here keeps anything from running, and
//! nothing looks at data or at the clock: a day to compare with has to be given. Definitions that a project includes and
//! leaves as they are get no advice, for nobody here wrote them; only what depends on the project's data is told of them.

mod filters;

use std::collections::BTreeSet;

use chrono::{Months, NaiveDate};
use datafusion::common::Column;
use datafusion::logical_expr::Expr;

use super::expression::Language;
use super::{Documents, Problems, Validated};
use crate::diagnostic::Diagnostic;
use crate::load::LoadedProject;
use crate::model::{Better, Goal, Kpi, Model, ROWS, Shape, is_rate};
use crate::spec::{KpiSpec, Spanned};

/// Everything that could be said better. `as_of` is the day from which ended targets and old benchmarks are looked at;
/// without one nothing is said of them. Only sense for a project without mistakes.
pub fn advice(loaded: &LoadedProject, validated: &Validated, as_of: Option<NaiveDate>) -> Vec<Diagnostic> {
    // The same mistakes were found before.
    let documents = Documents::sort(loaded, &mut Problems::default());
    let model = &validated.model;
    let all: Vec<Definition> = (documents.kpis.iter())
        .filter_map(|(name, (document, spec))| {
            let kpi = model.kpis.get(name).filter(|kpi| !kpi.is_hidden)?;
            Some(Definition { name, spec, kpi, is_included: document.is_included })
        })
        .collect();
    let own: Vec<&Definition> = all.iter().filter(|definition| !definition.is_included).collect();
    let language = Language {
        sources: &loaded.sources,
        settings: &validated.scope.settings,
        time_zone: model.project.calendar.time_zone.name(),
        functions: &validated.scope.functions,
        aggregates: &validated.scope.aggregates,
    };
    let mut found = objectives_without_kpi(&documents, loaded);
    found.extend(objectives_in_words(&documents, &own));
    found.extend(incomplete(&documents, &own));
    found.extend(own.iter().filter_map(|definition| target_not_smart(definition)));
    found.extend(all.iter().filter_map(|definition| volume_without_quality(model, definition)));
    found.extend(own.iter().flat_map(|definition| guardrail_of_itself(definition)));
    found.extend(own.iter().filter_map(|definition| reviewed_too_often(definition)));
    found.extend(own.iter().filter_map(|definition| rate_without_minimum(model, definition)));
    found.extend(own.iter().flat_map(|definition| benchmarks(definition, as_of)));
    found.extend(own.iter().filter_map(|definition| ended_target(definition, as_of?)));
    found.extend(filters::repeated(&language, &documents.tables, &own));
    found
}

/// A KPI that can run and that people see, as it is written and as it is meant.
struct Definition<'a> {
    name: &'a str,
    spec: &'a KpiSpec,
    kpi: &'a Kpi,
    is_included: bool,
}

/// A key that every KPI should have, whether one has it, and what it says.
struct Key {
    name: &'static str,
    is_written: fn(&KpiSpec) -> bool,
    says: &'static str,
}

const KEYS: [Key; 6] = [
    Key { name: "description", is_written: |spec| says(&spec.description), says: "what it measures" },
    Key { name: "better", is_written: |spec| spec.better.is_some(), says: "which way is good" },
    Key { name: "owner", is_written: |spec| says(&spec.owner), says: "who answers for it" },
    Key { name: "review", is_written: |spec| spec.review.is_some(), says: "how often it is looked at" },
    Key { name: "objective", is_written: |spec| says(&spec.objective), says: "what it serves" },
    Key { name: "decides", is_written: |spec| says(&spec.decides), says: "what somebody decides when it moves" },
];

fn says(text: &Option<Spanned<String>>) -> bool {
    text.as_ref().is_some_and(|text| !text.trim().is_empty())
}

/// KPIs that do not say what people need to know of them. What no KPI says is told once, at the project.
fn incomplete(documents: &Documents, own: &[&Definition]) -> Vec<Diagnostic> {
    let is_said_by_none = |key: &&Key| !own.iter().any(|definition| (key.is_written)(definition.spec));
    let unused: Vec<&Key> = KEYS.iter().filter(is_said_by_none).collect();
    let mut found = Vec::new();
    if let Some(project) = documents.project.filter(|_| !own.is_empty() && !unused.is_empty()) {
        let names = in_words(unused.iter().map(|key| key.name), "or");
        found.push(
            Diagnostic::advice("incomplete-definition", format!("no KPI of the project says its {names}"))
                .at(project.project.span)
                .hint(what_to_say(&unused)),
        );
    }
    for definition in own {
        let named: Vec<&str> = lacking_of_target(definition).into_iter().flat_map(|(_, keys)| keys).collect();
        let is_news = |key: &&Key| {
            !(key.is_written)(definition.spec)
                && !named.contains(&key.name)
                && !unused.iter().any(|unused| unused.name == key.name)
        };
        let missing: Vec<&Key> = KEYS.iter().filter(is_news).collect();
        if missing.is_empty() {
            continue;
        }
        let names = in_words(missing.iter().map(|key| key.name), "or");
        found.push(
            Diagnostic::advice("incomplete-definition", format!("`{}` does not say its {names}", definition.name))
                .at(definition.spec.kpi.span)
                .hint(what_to_say(&missing)),
        );
    }
    found
}

fn what_to_say(keys: &[&Key]) -> String {
    let parts: Vec<String> = keys.iter().map(|key| format!("{} (`{}`)", key.says, key.name)).collect();
    format!("write {}", joined(&parts, "and"))
}

/// A target that is not specific, measurable, achievable, relevant and time-bound: the letters that are missing.
fn target_not_smart(definition: &Definition) -> Option<Diagnostic> {
    const OF_THE_TARGET: [&str; 4] = ["owner", "baseline", "from", "until"];
    let target = definition.spec.target.as_ref()?;
    let lacking = lacking_of_target(definition);
    if lacking.is_empty() {
        return None;
    }
    let parts: Vec<String> = (lacking.iter())
        .map(|(letter, keys)| {
            let keys: Vec<String> = keys.iter().map(|key| format!("no `{key}`")).collect();
            format!("{} ({letter})", joined(&keys, "and"))
        })
        .collect();
    let keys = || lacking.iter().flat_map(|(_, keys)| keys.iter().copied());
    let hints: Vec<String> = [("target", true), ("KPI", false)]
        .into_iter()
        .filter_map(|(what, is_of_target)| {
            let keys: Vec<&str> = keys().filter(|key| OF_THE_TARGET.contains(key) == is_of_target).collect();
            (!keys.is_empty()).then(|| format!("{} to the {what}", in_words(keys.into_iter(), "and")))
        })
        .collect();
    let message = format!("the target of `{}` has {}", definition.name, parts.join(", "));
    Some(Diagnostic::advice("target-not-smart", message).at(target.span).hint(format!("add {}", hints.join(", and "))))
}

/// The keys that a target lacks, by letter. One that is looked up is set elsewhere, for each period, so neither a baseline nor
/// days are missed.
fn lacking_of_target<'a>(definition: &Definition) -> Vec<(char, Vec<&'a str>)> {
    let (Some(written), Some(target)) = (&definition.spec.target, &definition.kpi.target) else { return Vec::new() };
    let spec = definition.spec;
    let is_here = matches!(target.goal, Goal::Value { .. } | Goal::Between { .. });
    let letters: [(char, &[(&str, bool)]); 5] = [
        ('S', &[("owner", says(&written.owner) || says(&spec.owner)), ("description", says(&spec.description))]),
        ('M', &[("unit", says(&spec.unit))]),
        ('A', &[("baseline", written.baseline.is_some() || !is_here)]),
        ('R', &[("objective", says(&spec.objective)), ("decides", says(&spec.decides))]),
        ('T', &[("from", written.from.is_some() || !is_here), ("until", written.until.is_some() || !is_here)]),
    ];
    letters
        .into_iter()
        .filter_map(|(letter, keys)| {
            let missing: Vec<&str> = keys.iter().filter(|(_, is_there)| !is_there).map(|(key, _)| *key).collect();
            (!missing.is_empty()).then_some((letter, missing))
        })
        .collect()
}

/// An objective that no KPI serves, neither itself nor through a part of it.
fn objectives_without_kpi(documents: &Documents, loaded: &LoadedProject) -> Vec<Diagnostic> {
    let served: BTreeSet<&str> = (documents.kpis.values())
        .filter_map(|(_, spec)| spec.objective.as_ref())
        .map(|objective| objective.value.as_str())
        .collect();
    let has_parts = |name: &str| {
        documents.objectives.values().any(|part| part.under.as_ref().is_some_and(|under| under.value == name))
    };
    let is_included = |name: &str| {
        let of_name = loaded.documents.iter().filter(|document| match &document.document {
            crate::spec::Document::Objective(objective) => objective.objective.value == name,
            _ => false,
        });
        of_name.into_iter().any(|document| document.is_included)
    };
    let idle = documents
        .objectives
        .iter()
        .filter(|(name, _)| !served.contains(name.as_str()) && !has_parts(name) && !is_included(name));
    idle.map(|(name, spec)| {
        Diagnostic::advice("objective-without-kpi", format!("no KPI serves the objective `{name}`"))
            .at(spec.objective.span)
            .hint(format!("write `objective: {name}` into the KPIs that tell whether it is reached"))
    })
    .collect()
}

/// Objectives that are only words in KPIs, since the project has no document for any.
fn objectives_in_words(documents: &Documents, own: &[&Definition]) -> Option<Diagnostic> {
    if !documents.objectives.is_empty() {
        return None;
    }
    let texts = || own.iter().filter_map(|definition| definition.spec.objective.as_ref());
    let words: BTreeSet<&str> = texts().map(|text| text.value.trim()).filter(|text| !text.is_empty()).collect();
    let first = texts().min_by_key(|text| (text.span.file.0, text.span.start))?;
    let name: String = (words.first()?.chars())
        .map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' })
        .collect();
    let message = match words.len() {
        1 => format!("the objective {} is only words", in_words(words.into_iter(), "and")),
        _ => format!("the objectives {} are only words", in_words(words.into_iter(), "and")),
    };
    let hint = "write a document for each, with a label and an owner, and name it in the KPIs, such as";
    Some(Diagnostic::advice("objective-in-words", message).at(first.span).hint(format!("{hint} `objective: {name}`")))
}

/// A number that can be driven up, or a cost that can be driven down, while nobody looks at what that does.
fn volume_without_quality(model: &Model, definition: &Definition) -> Option<Diagnostic> {
    let Definition { name, spec, kpi, is_included } = definition;
    let is_volume = matches!(kpi.shape, Shape::Aggregate(_) | Shape::Arithmetic(_)) && !is_rate(model, kpi);
    let (what, moves) = match kpi.better {
        Better::Higher if is_volume => ("volume", "grows"),
        Better::Lower if is_volume && kpi.unit.as_deref() == Some("currency") => ("cost", "falls"),
        _ => return None,
    };
    let guardrails: Vec<&str> =
        kpi.guardrails.iter().map(String::as_str).filter(|guardrail| guardrail != name).collect();
    if guardrails.is_empty() && !is_included {
        let hint = format!("name in `guardrails` the KPI that must not suffer while this one {moves}");
        let message = format!("`{name}` is a {what} without a guardrail");
        return Some(Diagnostic::advice("volume-without-quality", message).at(spec.kpi.span).hint(hint));
    }
    let is_seen = |guardrail: &&str| model.kpis.get(*guardrail).is_some_and(|kpi| !kpi.is_hidden);
    if guardrails.is_empty() || guardrails.iter().any(is_seen) {
        return None;
    }
    let message = match guardrails.as_slice() {
        [only] => format!("`{name}` is a {what} whose guardrail `{only}` has no data here or is hidden"),
        all => {
            let all = in_words(all.iter().copied(), "and");
            format!("`{name}` is a {what} whose guardrails {all} have no data here or are hidden")
        }
    };
    let hint = format!("give one of them its data, or name another KPI that must not suffer while this one {moves}");
    Some(Diagnostic::advice("volume-without-quality", message).at(spec.kpi.span).hint(hint))
}

/// A KPI that is to watch over itself.
fn guardrail_of_itself(definition: &Definition) -> Vec<Diagnostic> {
    let own = definition.spec.guardrails.iter().flatten().filter(|guardrail| guardrail.value == definition.name);
    own.map(|guardrail| {
        Diagnostic::advice("guardrail-of-itself", format!("`{}` is its own guardrail", definition.name))
            .at(guardrail.span)
            .hint("name another KPI, one that would suffer if this one were driven too far")
    })
    .collect()
}

/// Between two looks there is nothing new.
fn reviewed_too_often(definition: &Definition) -> Option<Diagnostic> {
    let (review, written) = (definition.kpi.review?, definition.spec.review.as_ref()?);
    let finest = definition.kpi.grains.iter().min().filter(|finest| review < **finest)?;
    let message = format!("`{}` is reviewed {}, and its finest grain is {finest}", definition.name, written.value);
    let is_too_fine = definition.kpi.minimum_grain.is_some_and(|minimum| review < minimum);
    let hint = match is_too_fine {
        true => format!("write `review: {}`", finest.rhythm()),
        false => format!("write `review: {}`, or add the grain {review} if its data is that fine", finest.rhythm()),
    };
    Some(Diagnostic::advice("reviewed-too-often", message).at(written.span).hint(hint))
}

/// A share or an average that is judged even where a single observation stands behind it.
fn rate_without_minimum(model: &Model, definition: &Definition) -> Option<Diagnostic> {
    let Definition { name, spec, kpi, .. } = definition;
    if kpi.minimum_n.is_some() || !divides_by_a_count(model, kpi) {
        return None;
    }
    let message = format!("`{name}` is judged however few observations there are");
    let hint = "add `minimum_n`, such as `minimum_n: 10`; with fewer a value is shown and not judged";
    Some(Diagnostic::advice("rate-without-minimum-n", message).at(spec.target.as_ref()?.span).hint(hint))
}

fn divides_by_a_count(model: &Model, kpi: &Kpi) -> bool {
    match &kpi.shape {
        Shape::Aggregate(aggregate) => {
            let rows = Expr::Column(Column::from_name(ROWS));
            aggregate.value.ratio.is_some() && aggregate.value.observations != rows
        }
        Shape::Arithmetic(arithmetic) => {
            let Some((_, Expr::Column(denominator))) = &arithmetic.value.ratio else { return false };
            let input = arithmetic.inputs.iter().find(|input| input.name == denominator.name);
            let kpi = input.and_then(|input| model.kpis.get(&input.kpi)).and_then(|kpi| kpi.aggregate());
            kpi.is_some_and(|aggregate| match aggregate.measures.as_slice() {
                [only] => only.function.is_count() && matches!(aggregate.value.expression, Expr::Column(_)),
                _ => false,
            })
        }
        Shape::Composite(_) | Shape::Query(_) => false,
    }
}

/// Since it ended nothing is judged any more.
fn ended_target(definition: &Definition, as_of: NaiveDate) -> Option<Diagnostic> {
    let until = definition.kpi.target.as_ref()?.until.filter(|until| *until < as_of)?;
    let message = format!("the target of `{}` ended on {until}", definition.name);
    let place = definition.spec.target.as_ref()?.until.as_ref()?.span;
    let hint = "write the one that holds now; a table (`target: {table: ...}`) keeps those of all times";
    Some(Diagnostic::advice("target-ended", message).at(place).hint(hint))
}

/// Benchmarks that are old, or that may be.
fn benchmarks(definition: &Definition, as_of: Option<NaiveDate>) -> Vec<Diagnostic> {
    let written = definition.spec.benchmarks.iter().flatten();
    let found = written.zip(&definition.kpi.benchmarks).filter_map(|(spec, benchmark)| {
        let name = definition.name;
        let Some(day) = benchmark.as_of else {
            let message = format!("a benchmark of `{name}` does not say from when it is");
            let hint = "add `as_of`, the day from which the number is";
            return Some(Diagnostic::advice("old-benchmark", message).at(spec.span).hint(hint));
        };
        let limit = as_of?.checked_sub_months(Months::new(24))?;
        let message = format!("a benchmark of `{name}` is from {day}, more than two years ago");
        let hint = "look for a newer one, or leave it out";
        (day < limit).then(|| Diagnostic::advice("old-benchmark", message).at(spec.span).hint(hint))
    });
    found.collect()
}

/// `` `a`, `b` and `c` ``.
fn in_words<'a>(names: impl Iterator<Item = &'a str>, last: &str) -> String {
    joined(&names.map(|name| format!("`{name}`")).collect::<Vec<_>>(), last)
}

fn joined(parts: &[String], last: &str) -> String {
    match parts {
        [front @ .., end] if !front.is_empty() => format!("{} {last} {end}", front.join(", ")),
        parts => parts.concat(),
    }
}
