//! From `kpi:` documents to KPIs: each checked by its shape, inputs before those that use them.
//!
//! What holds for every KPI is here: its grains, dimensions and words. Each shape has a file of its own: `aggregate` for KPIs
//! over a table, `arithmetic` and `composite` for KPIs over KPIs, `query` for those that are one query.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::execution::SessionState;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::Expr as SqlExpr;

use super::aggregate::aggregate;
use super::arithmetic::arithmetic;
use super::composite::composite;
use super::expression::{Language, Unresolved, list, resolve};
use super::fingerprint::fingerprint;
use super::length::wait;
use super::order::in_dependency_order;
use super::purpose::benchmarks;
use super::query::query;
use super::subject::built_in_dimension;
use super::tables::Tables;
use super::target::{Asked, Targeted, target};
use super::{Problems, typing};
use crate::diagnostic::{Diagnostic, nearest};
use crate::load::LoadedDocument;
use crate::model::{Better, Dimension, Kpi, Project, Reads, Shape, Skipped, Subject};
use crate::spec::{KpiSpec, Spanned, TableSpec};
use crate::time::Grain;

/// What the checks of KPIs share.
pub(super) struct Context<'a> {
    pub session: &'a SessionContext,
    pub state: &'a SessionState,
    pub language: &'a Language<'a>,
    pub project: &'a Project,
    pub tables: &'a Tables,
    pub table_specs: &'a BTreeMap<String, &'a TableSpec>,
    /// KPIs whose mistakes are reported already.
    pub broken_kpis: &'a BTreeSet<String>,
}

/// What became of a `kpi:` document.
enum Outcome {
    Ready(Box<Kpi>),
    Skipped(String),
    Broken,
}

/// Checks every KPI, inputs first. Returns them in that order, with those that lack data.
pub(super) fn kpis(
    context: &Context,
    specs: &BTreeMap<String, (&LoadedDocument, &KpiSpec)>,
    problems: &mut Problems,
) -> (Vec<Arc<Kpi>>, Vec<Skipped>) {
    let order = in_dependency_order(context, specs, problems);
    let mut all = Checked::default();
    for name in order {
        let (document, spec) = specs[&name];
        check_words(context, spec, specs, problems);
        match kpi(context, document, spec, &mut all, problems) {
            Outcome::Ready(kpi) => all.add(Arc::new(*kpi)),
            Outcome::Skipped(reason) => {
                all.skipped.insert(name, reason);
            }
            Outcome::Broken => {}
        }
    }
    let Checked { ordered, skipped, .. } = all;
    let ordered = prepare_inputs(context, ordered);
    (
        ordered,
        skipped
            .into_iter()
            .map(|(kpi, reason)| Skipped { kpi, reason, needs: BTreeMap::new(), reads: BTreeMap::new() })
            .collect(),
    )
}

/// The KPIs checked so far.
#[derive(Default)]
pub(super) struct Checked {
    pub ready: BTreeMap<String, Arc<Kpi>>,
    /// In the order of their dependencies, with the variants that they need.
    pub ordered: Vec<Arc<Kpi>>,
    /// Those whose tables have no data, and why.
    pub skipped: BTreeMap<String, String>,
}

impl Checked {
    pub fn add(&mut self, kpi: Arc<Kpi>) {
        self.ordered.push(kpi.clone());
        self.ready.insert(kpi.name.clone(), kpi);
    }
}

/// Gives the inputs of arithmetic the dimensions that it asks for, and every KPI its fingerprint.
fn prepare_inputs(context: &Context, ordered: Vec<Arc<Kpi>>) -> Vec<Arc<Kpi>> {
    let mut asked: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for kpi in ordered.iter().rev() {
        let mut names: BTreeSet<String> = kpi.dimension_sets.iter().flatten().cloned().collect();
        names.extend(asked.get(&kpi.name).into_iter().flatten().cloned());
        for input in kpi.inputs() {
            asked.entry(input.to_owned()).or_default().extend(names.iter().cloned());
        }
    }
    let mut ready: BTreeMap<String, Arc<Kpi>> = BTreeMap::new();
    let mut prepared = Vec::with_capacity(ordered.len());
    for kpi in ordered {
        let mut kpi = kpi.as_ref().clone();
        if let Shape::Aggregate(aggregate) = &mut kpi.shape {
            for name in asked.get(&kpi.name).into_iter().flatten() {
                if aggregate.dimensions.contains_key(name) {
                    continue;
                }
                let span = crate::diagnostic::Span { file: crate::diagnostic::FileId(0), start: 0, end: 0 };
                // It was checked with the KPI that asks for it; a total or a target may do without.
                if let Ok(dimension) = dimension(context, &aggregate.table, &Spanned::new(name.clone(), span)) {
                    aggregate.dimensions.insert(name.clone(), dimension);
                }
            }
        }
        kpi.fingerprint = fingerprint(context, &kpi, &ready);
        let kpi = Arc::new(kpi);
        ready.insert(kpi.name.clone(), kpi.clone());
        prepared.push(kpi);
    }
    prepared
}

/// Column names of results, and the word for what has no dimension: no dimension can be called so.
pub(super) const RESULT_COLUMNS: [&str; 16] = [
    "kpi",
    "grain",
    "period_start",
    "period_end",
    "breakdown",
    "members",
    "value",
    "numerator",
    "denominator",
    "n",
    "rows",
    "target",
    "status",
    "is_complete",
    "is_ripe",
    "overall",
];

pub(super) fn reserved(name: &Spanned<String>, place: &str) -> Diagnostic {
    let letters =
        name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' });
    let plain: String = letters.collect();
    Diagnostic::error(
        "reserved-name",
        format!("`{}` cannot be the name of a dimension: results have a column of that name", name.value),
    )
    .at(name.span)
    .hint(format!("give it another name {place}, such as `my_{}: {}`", plain.trim_matches('_'), name.value))
}

/// The dimension called `name` for KPIs over `table`; also for names that no definition lists, as `--by` may ask.
pub(super) fn dimension(context: &Context, table: &str, name: &Spanned<String>) -> Result<Dimension, Unresolved> {
    if RESULT_COLUMNS.contains(&name.value.to_lowercase().as_str()) || name.contains([',', '"']) {
        return Err(reserved(name, &format!("under `dimensions` in table `{table}`")).into());
    }
    let parsed = context.language.parse(name).map_err(Unresolved::Mistake)?;
    if !matches!(parsed.sql, SqlExpr::Identifier(_) | SqlExpr::CompoundIdentifier(_)) {
        return Err(Diagnostic::error(
            "not-a-dimension",
            format!("`{}` is no dimension but an expression", name.value),
        )
        .at(name.span)
        .hint(format!("give it a name under `dimensions` in table `{table}`"))
        .into());
    }
    let resolved = resolve(context.language, &context.tables.namespace, table, &parsed)?;
    let schema = context.tables.joined_schema(table, &resolved.joins).ok_or(Unresolved::Elsewhere)?;
    let (expression, data_type) =
        typing::plan(context.state, resolved.sql, &schema).map_err(|error| typing::mistake(&error).at(name.span))?;
    Ok(Dimension { expression, data_type, joins: resolved.joins })
}

fn kpi(
    context: &Context,
    document: &LoadedDocument,
    spec: &KpiSpec,
    all: &mut Checked,
    problems: &mut Problems,
) -> Outcome {
    if let Some(reason) = without_targets(document, spec, all) {
        return Outcome::Skipped(reason);
    }
    let before = problems.count();
    let minimum_grain = minimum_grain(spec, problems);
    let grains = grains(spec, minimum_grain, problems);
    let shaped = shape(context, spec, &grains, all, problems);
    let (shape, value_type) = match shaped {
        Shaped::Ready(shape, value_type) => (shape, value_type),
        Shaped::Skipped(reason) => return Outcome::Skipped(reason),
        Shaped::Broken => {
            // The rest is looked at all the same, so that every mistake is told at once.
            if let Some(target) = &spec.target {
                let asked = Asked { grains: &grains, dimension_sets: &[] };
                self::target(context, spec, target, &asked, all, problems);
            }
            return Outcome::Broken;
        }
    };
    let mut required: Vec<String> = names(&spec.required_dimensions);
    required.extend(built_in_dimension(spec).map(|(name, _)| name.to_owned()).filter(|name| !required.contains(name)));
    let mut dimension_sets = dimension_sets(spec, &required);
    if let (Shape::Query(query), None) = (&shape, &spec.by) {
        // What a query names it is broken down by.
        let all: Vec<String> = query.dimensions.keys().cloned().collect();
        if !all.is_empty() && !dimension_sets.contains(&all) {
            dimension_sets.push(all);
        }
    }
    let target = match &spec.target {
        None => None,
        Some(target) => {
            match self::target(
                context,
                spec,
                target,
                &Asked { grains: &grains, dimension_sets: &dimension_sets },
                all,
                problems,
            ) {
                Targeted::Ready(target) => Some(target),
                Targeted::Skipped(reason) => return Outcome::Skipped(reason),
                Targeted::Broken => None,
            }
        }
    };
    let ripens = match (&spec.ripens, &shape) {
        (Some(text), _) => match wait(context.language, text, "ripens") {
            Ok(wait) => Some(wait),
            Err(diagnostic) => {
                problems.add(diagnostic);
                None
            }
        },
        // A conversion needs the time that it may take.
        (None, Shape::Aggregate(aggregate)) => match &aggregate.subject {
            Subject::Conversions(conversions) if conversions.base_time == aggregate.time => Some(conversions.within),
            _ => None,
        },
        (None, _) => None,
    };
    let benchmarks = benchmarks(spec.benchmarks.as_deref().unwrap_or_default(), problems);
    let review = spec.review.as_ref().and_then(|review| rhythm(review));
    if problems.count() > before || context.broken_kpis.contains(&spec.kpi.value) {
        return Outcome::Broken;
    }
    let finest = finest(context, &shape, all).max(minimum_grain);
    let text = |text: &Option<Spanned<String>>| text.as_ref().map(|text| text.value.trim().to_owned());
    let mut tags: Vec<String> = document.folder_tag.iter().cloned().chain(names(&spec.tags)).collect();
    tags.dedup();
    let kpi = Kpi {
        name: spec.kpi.value.clone(),
        label: text(&spec.label).unwrap_or_else(|| spec.kpi.value.replace('_', " ")),
        description: text(&spec.description),
        formula: text(&spec.formula),
        avoids: text(&spec.avoids),
        unit: text(&spec.unit),
        better: spec.better.as_ref().map_or(Better::None, |better| better.value),
        owner: text(&spec.owner),
        review,
        objective: text(&spec.objective),
        decides: text(&spec.decides),
        guardrails: names(&spec.guardrails),
        tags,
        file: context.language.sources.get(document.file).path.clone(),
        line: context.language.sources.position(document.file, document.span.start).line,
        shape,
        dimension_sets,
        required_dimensions: required,
        grains,
        minimum_grain,
        target,
        benchmarks,
        minimum_n: spec.minimum_n.as_ref().map(|minimum| minimum.value),
        ripens,
        finest,
        value_type,
        variant_of: None,
        is_hidden: false,
        is_included: document.is_included,
        reads: Reads::new(),
        fingerprint: String::new(),
    };
    Outcome::Ready(Box::new(kpi))
}

/// Why an included index cannot be computed where its parts have no targets. One that the project wrote is a mistake.
fn without_targets(document: &LoadedDocument, spec: &KpiSpec, all: &Checked) -> Option<String> {
    let lacks_target = |name: &&str| all.ready.get(*name).is_some_and(|part| part.target.is_none());
    let parts: Vec<&str> = spec.composite.names().filter(lacks_target).collect();
    let is_told = document.is_included && !parts.is_empty();
    is_told.then(|| format!("it measures KPIs by their targets, and there is none of {}", parts.join(", ")))
}

/// The finest grain that the tables below a KPI know.
fn finest(context: &Context, shape: &Shape, all: &Checked) -> Option<Grain> {
    let of = |name: &str| all.ready.get(name).and_then(|kpi| kpi.finest);
    match shape {
        Shape::Aggregate(aggregate) => context.tables.grains.get(&aggregate.table).copied(),
        Shape::Query(query) => query.plans.keys().map(|(grain, _)| *grain).min().filter(|grain| *grain != Grain::Day),
        Shape::Arithmetic(arithmetic) => arithmetic.inputs.iter().filter_map(|input| of(&input.kpi)).max(),
        Shape::Composite(composite) => composite.parts.iter().filter_map(|part| of(&part.kpi)).max(),
    }
}

/// How the KPI is computed, by the keys that it has.
fn shape(context: &Context, spec: &KpiSpec, grains: &[Grain], all: &mut Checked, problems: &mut Problems) -> Shaped {
    if let Some(sql) = &spec.query {
        return query(context, spec, sql, grains, problems);
    }
    if let Some(table) = &spec.from {
        return aggregate(context, spec, table, grains, problems);
    }
    if !spec.composite.is_empty() {
        return composite(context, spec, grains, all, problems);
    }
    let Some(value) = &spec.value else {
        if context.broken_kpis.contains(&spec.kpi.value) {
            return Shaped::Broken;
        }
        problems.add(
            Diagnostic::error("missing-key", format!("KPI `{}` has no `value`", spec.kpi.value))
                .at(spec.kpi.span)
                .hint("write what it is, such as `value: count(*)` or `value: sum(amount)`"),
        );
        return Shaped::Broken;
    };
    match problems.take(context.language.parse(value)) {
        Some(parsed) => arithmetic(context, spec, &parsed, grains, all, problems),
        None => Shaped::Broken,
    }
}

pub(super) enum Shaped {
    Ready(Shape, DataType),
    Skipped(String),
    Broken,
}

/// A mistake in a `by` list is about dimensions, not about columns.
pub(super) fn as_dimension(
    context: &Context,
    mut diagnostic: Diagnostic,
    name: &Spanned<String>,
    table: &str,
) -> Diagnostic {
    if diagnostic.code == "unknown-column" {
        diagnostic.code = "unknown-dimension";
        diagnostic.message = format!("`{table}` has no dimension `{}`", name.value);
        let names = context.tables.namespace.get(table);
        let declared = || names.into_iter().flat_map(|names| names.dimensions.keys()).map(String::as_str);
        let is_precise = |hint: &String| hint.starts_with("did you mean") || hint.contains("is a join");
        if !diagnostic.hint.as_ref().is_some_and(is_precise) && declared().next().is_some() {
            diagnostic.hint = Some(format!("its dimensions are {}; any column works as well", list(declared())));
        }
    }
    diagnostic
}

/// A word that is no grain, as a mistake.
pub(super) fn unknown_grain(word: &Spanned<String>) -> Diagnostic {
    let diagnostic = Diagnostic::error("unknown-grain", format!("there is no grain `{}`", word.value)).at(word.span);
    match nearest(&word.value, Grain::ALL.map(Grain::name)) {
        Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
        None => diagnostic.hint("the grains are day, week, month, quarter and year"),
    }
}

/// The finest grain that the definition allows.
fn minimum_grain(spec: &KpiSpec, problems: &mut Problems) -> Option<Grain> {
    let written = spec.minimum_grain.as_ref()?;
    let grain = written.parse::<Grain>().ok();
    if grain.is_none() {
        problems.add(unknown_grain(written));
    }
    grain
}

fn grains(spec: &KpiSpec, minimum: Option<Grain>, problems: &mut Problems) -> Vec<Grain> {
    // A cohort is read by the length of its ages.
    let default = spec.cohort.as_ref().and_then(|cohort| cohort.by.parse().ok()).unwrap_or(Grain::Month);
    let default = minimum.filter(|_| spec.cohort.is_none()).map_or(default, |minimum| minimum.max(default));
    let grains = match &spec.grains {
        Some(written) => written_grains(spec, written, problems),
        None => vec![default],
    };
    if let (Some(minimum), Some(written)) = (minimum, &spec.minimum_grain)
        && let Some(finer) = grains.iter().find(|grain| **grain < minimum)
    {
        let word = spec.grains.iter().flatten().find(|word| word.value == finer.name());
        problems.add(
            Diagnostic::error("grain-too-fine", format!("the grain {finer} is finer than `minimum_grain: {minimum}`"))
                .at(word.unwrap_or(written).span)
                .hint(format!("leave the grain {finer} out, or say `minimum_grain: {finer}`")),
        );
    }
    grains
}

fn written_grains(spec: &KpiSpec, written: &[Spanned<String>], problems: &mut Problems) -> Vec<Grain> {
    let mut grains = Vec::new();
    for word in written {
        match word.parse::<Grain>() {
            Ok(grain) if grains.contains(&grain) => {}
            Ok(grain) => grains.push(grain),
            Err(()) => problems.add(unknown_grain(word)),
        }
    }
    if written.is_empty() {
        problems.add(
            Diagnostic::error("wrong-value", "`grains` is empty")
                .at(spec.kpi.span)
                .hint("such as `grains: [month, quarter]`"),
        );
    }
    grains
}

fn dimension_sets(spec: &KpiSpec, required: &[String]) -> Vec<Vec<String>> {
    let mut sets: Vec<Vec<String>> = vec![required.to_vec()];
    for set in spec.by.iter().flatten() {
        let mut names: Vec<String> = required.to_vec();
        for name in set.items() {
            if !names.contains(&name.value) {
                names.push(name.value);
            }
        }
        let is_known =
            |known: &Vec<String>| known.len() == names.len() && names.iter().all(|name| known.contains(name));
        if !sets.iter().any(is_known) {
            sets.push(names);
        }
    }
    sets
}

pub(super) fn names(list: &Option<Vec<Spanned<String>>>) -> Vec<String> {
    list.iter().flatten().map(|name| name.value.clone()).collect()
}

/// The period that passes between two looks at a KPI.
fn rhythm(word: &str) -> Option<Grain> {
    Grain::ALL.into_iter().find(|grain| grain.rhythm() == word)
}

/// Words that have a fixed list, and names of other KPIs.
fn check_words(
    context: &Context,
    spec: &KpiSpec,
    specs: &BTreeMap<String, (&LoadedDocument, &KpiSpec)>,
    problems: &mut Problems,
) {
    if let Some(review) = &spec.review
        && rhythm(review).is_none()
    {
        let diagnostic =
            Diagnostic::error("unknown-value", format!("there is no review rhythm `{}`", review.value)).at(review.span);
        problems.add(match nearest(review, Grain::ALL.map(Grain::rhythm)) {
            Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
            None => diagnostic.hint("it is daily, weekly, monthly, quarterly or yearly"),
        });
    }
    for guardrail in spec.guardrails.iter().flatten() {
        if !specs.contains_key(&guardrail.value) && !context.broken_kpis.contains(&guardrail.value) {
            let mut diagnostic =
                Diagnostic::error("unknown-kpi", format!("there is no KPI `{}`", guardrail.value)).at(guardrail.span);
            diagnostic.hint = Some(match nearest(guardrail, specs.keys().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "guardrails are names of KPIs; `kpi ls` lists them".into(),
            });
            problems.add(diagnostic);
        }
    }
}
