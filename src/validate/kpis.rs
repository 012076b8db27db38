//! From `kpi:` documents to KPIs: values taken apart into aggregates, dimensions and targets checked, inputs ordered.
//!
//! A value is one expression; what is stored are the aggregates inside it, so that the value can be computed again at any
//! grain and for any dimensions. A shape that this version does not have yet is refused here by name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::execution::SessionState;
use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::ast::Expr as SqlExpr;

use super::arithmetic::arithmetic;
use super::expression::{Language, Parsed, Unresolved, list, resolve};
use super::fingerprint::fingerprint;
use super::measures::{measured_schema, take_measures};
use super::order::in_dependency_order;
use super::tables::{State, Tables};
use super::target::target;
use super::{Problems, not_yet, typing};
use crate::diagnostic::{Diagnostic, nearest};
use crate::load::LoadedDocument;
use crate::model::{Aggregate, Better, Dimension, Kpi, MeasureFunction, Project, ROWS, Shape, Skipped, Value};
use crate::spec::{Fill, KpiSpec, Spanned, TableSpec};
use crate::time::Grain;

/// What the checks of KPIs share.
pub(super) struct Context<'a> {
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
    let mut ready: BTreeMap<String, Arc<Kpi>> = BTreeMap::new();
    let mut ordered = Vec::new();
    let mut skipped: BTreeMap<String, String> = BTreeMap::new();
    for name in order {
        let (document, spec) = specs[&name];
        check_words(context, spec, specs, problems);
        match kpi(context, document, spec, &ready, &skipped, problems) {
            Outcome::Ready(kpi) => {
                let kpi = Arc::new(*kpi);
                ordered.push(kpi.clone());
                ready.insert(name, kpi);
            }
            Outcome::Skipped(reason) => {
                skipped.insert(name, reason);
            }
            Outcome::Broken => {}
        }
    }
    let ordered = prepare_inputs(context, ordered);
    (ordered, skipped.into_iter().map(|(kpi, reason)| Skipped { kpi, reason }).collect())
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
                let span = crate::diagnostic::Span { file: crate::diagnostic::FileId(0), start: 0, end: 0 };
                // It was checked with the KPI that asks for it.
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
    ready: &BTreeMap<String, Arc<Kpi>>,
    skipped: &BTreeMap<String, String>,
    problems: &mut Problems,
) -> Outcome {
    let before = problems.count();
    let later = spec.later_keys();
    for (key, span) in &later {
        problems.add(not_yet(key, *span));
    }
    if let Some(query) = &spec.query {
        problems.add(not_yet("a KPI as a `.sql` file", query.span));
    }
    let grains = grains(spec, problems);
    let target = spec.target.as_ref().and_then(|target| self::target(spec, target, problems));
    if !later.is_empty() || spec.query.is_some() {
        return Outcome::Broken;
    }
    let Some(value) = &spec.value else {
        if context.broken_kpis.contains(&spec.kpi.value) {
            return Outcome::Broken;
        }
        problems.add(
            Diagnostic::error("missing-key", format!("KPI `{}` has no `value`", spec.kpi.value))
                .at(spec.kpi.span)
                .hint("write what it is, such as `value: count(*)` or `value: sum(amount)`"),
        );
        return Outcome::Broken;
    };
    let Some(parsed) = problems.take(context.language.parse(value)) else { return Outcome::Broken };
    let shaped = match &spec.from {
        Some(table) => aggregate(context, spec, table, &parsed, problems),
        None => arithmetic(context, spec, &parsed, &grains, ready, skipped, problems),
    };
    let (shape, value_type) = match shaped {
        Shaped::Ready(shape, value_type) => (shape, value_type),
        Shaped::Skipped(reason) => return Outcome::Skipped(reason),
        Shaped::Broken => return Outcome::Broken,
    };
    if problems.count() > before || context.broken_kpis.contains(&spec.kpi.value) {
        return Outcome::Broken;
    }
    let required: Vec<String> = names(&spec.required_dimensions);
    let dimension_sets = dimension_sets(spec, &required);
    let text = |text: &Option<Spanned<String>>| text.as_ref().map(|text| text.value.trim().to_owned());
    let mut tags: Vec<String> = document.folder_tag.iter().cloned().chain(names(&spec.tags)).collect();
    tags.dedup();
    let kpi = Kpi {
        name: spec.kpi.value.clone(),
        label: text(&spec.label).unwrap_or_else(|| spec.kpi.value.replace('_', " ")),
        description: text(&spec.description),
        formula: text(&spec.formula),
        unit: text(&spec.unit),
        better: spec.better.as_ref().map_or(Better::None, |better| better.value),
        owner: text(&spec.owner),
        tags,
        file: context.language.sources.get(document.file).path.clone(),
        shape,
        dimension_sets,
        required_dimensions: required,
        grains,
        target,
        minimum_n: spec.minimum_n.as_ref().map(|minimum| minimum.value),
        value_type,
        fingerprint: String::new(),
    };
    Outcome::Ready(Box::new(kpi))
}

pub(super) enum Shaped {
    Ready(Shape, DataType),
    Skipped(String),
    Broken,
}

fn aggregate(
    context: &Context,
    spec: &KpiSpec,
    table: &Spanned<String>,
    value: &Parsed,
    problems: &mut Problems,
) -> Shaped {
    let before = problems.count();
    match context.tables.states.get(&table.value) {
        Some(State::Ready(_)) => {}
        Some(State::Absent(reason)) => {
            return Shaped::Skipped(format!("table `{}` has no data: {reason}", table.value));
        }
        Some(State::Broken) => return Shaped::Broken,
        None => {
            let diagnostic =
                Diagnostic::error("unknown-table", format!("there is no table `{}`", table.value)).at(table.span);
            let known = || context.table_specs.keys().map(String::as_str);
            problems.add(match nearest(&table.value, known()) {
                Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
                None if context.table_specs.is_empty() => {
                    diagnostic.hint(format!("describe it: `table: {}` with its `source`", table.value))
                }
                None => diagnostic.hint(format!("the tables are {}", list(known()))),
            });
            return Shaped::Broken;
        }
    }
    let table_name = table.value.as_str();
    let mut joins = BTreeSet::new();
    let mut missing: Option<String> = None;
    // Every part is looked at, so that all mistakes come at once.
    let mut row_level =
        |parsed: Option<Parsed>, problems: &mut Problems| -> Option<(Expr, DataType, Spanned<String>)> {
            let parsed = parsed?;
            let resolved = match resolve(context.language, &context.tables.namespace, table_name, &parsed) {
                Err(Unresolved::Missing { table }) => {
                    missing = Some(table);
                    return None;
                }
                other => problems.resolved(other)?,
            };
            let schema = context.tables.joined_schema(table_name, &resolved.joins)?;
            let typed = typing::plan(context.state, resolved.sql, &schema);
            let (expression, data_type) = problems.planned(typed, parsed.text.span)?;
            joins.extend(resolved.joins);
            Some((expression, data_type, parsed.text))
        };

    let default_time = context.table_specs.get(table_name).and_then(|table| table.time.as_ref());
    let time = match spec.time.as_ref().or(default_time) {
        None => {
            problems.add(
                Diagnostic::error(
                    "missing-key",
                    format!("KPI `{}` has no `time`, and table `{table_name}` has none either", spec.kpi.value),
                )
                .at(spec.kpi.span)
                .hint("name the date or timestamp that places a row in a period, such as `time: created_at`"),
            );
            None
        }
        Some(time) => {
            let parsed = one_row(context, problems.take(context.language.parse(time)), "`time`", problems);
            row_level(parsed, problems).and_then(|(expression, data_type, text)| match data_type {
                DataType::Date32 | DataType::Timestamp(_, _) => Some((expression, data_type)),
                other => {
                    problems.add(
                        Diagnostic::error("wrong-type", format!("`time` is a date or timestamp, but `{}` is {}", text.value, typing::type_name(&other)))
                            .at(text.span)
                            .hint(format!("give it a type in table `{table_name}`: `columns: {{{}: {{type: date}}}}`, with a `format` if need be", text.value)),
                    );
                    None
                }
            })
        }
    };
    let condition = spec.condition.as_ref().and_then(|condition| {
        let parsed = one_row(context, problems.take(context.language.parse(condition)), "`where`", problems);
        let (expression, data_type, text) = row_level(parsed, problems)?;
        problems.is_condition(&data_type, &text).then_some(expression)
    });
    let value_expression = match context.language.nested_aggregate(value) {
        Some(diagnostic) => {
            problems.add(diagnostic);
            None
        }
        None => row_level(Some(value.clone()), problems),
    };

    let mut dimensions = BTreeMap::new();
    let wanted = spec.by.iter().flatten().flat_map(|set| set.items());
    for name in wanted.chain(spec.required_dimensions.iter().flatten().cloned()) {
        match dimension(context, table_name, &name) {
            Ok(dimension) => {
                dimensions.insert(name.value.clone(), dimension);
            }
            Err(Unresolved::Missing { table }) => missing = Some(table),
            Err(Unresolved::Mistake(diagnostic)) => problems.add(as_dimension(context, *diagnostic, &name, table_name)),
            Err(Unresolved::Elsewhere) => return Shaped::Broken,
        }
    }
    if let Some(missing) = missing {
        return match context.tables.states.get(&missing) {
            Some(State::Absent(reason)) => Shaped::Skipped(format!("table `{missing}` has no data: {reason}")),
            Some(State::Ready(_) | State::Broken) | None => Shaped::Broken,
        };
    }
    let (Some((time, time_type)), Some((value_expression, _, text))) = (time, value_expression) else {
        return Shaped::Broken;
    };
    let Some(schema) = context.tables.joined_schema(table_name, &joins) else { return Shaped::Broken };
    let taken = match take_measures(value_expression, &schema) {
        Ok(taken) => taken,
        Err(diagnostic) => {
            problems.add(diagnostic.at(text.span));
            return Shaped::Broken;
        }
    };
    let (expression, measures) = taken;
    let columns = measures.iter().map(|measure| (measure.name.as_str(), measure.data_type.clone()));
    let measured = measured_schema(columns.chain([(ROWS, DataType::Int64)]));
    let Some(data_type) = problems.planned(typing::type_of(&expression, &measured), text.span) else {
        return Shaped::Broken;
    };
    problems.is_number(&data_type, text.span);
    if problems.count() > before {
        return Shaped::Broken;
    }
    if let Some(name) = dimensions.keys().find(|name| measures.iter().any(|measure| measure.name == **name)) {
        let name = Spanned::new(name.clone(), text.span);
        problems.add(reserved(&name, &format!("under `dimensions` in table `{table_name}`")));
        return Shaped::Broken;
    }
    let counts = |expression: &Expr| match expression {
        Expr::Column(column) => measures.iter().any(|measure| {
            measure.name == column.name
                && matches!(measure.function, MeasureFunction::Count | MeasureFunction::CountDistinct)
        }),
        _ => false,
    };
    let ratio = typing::ratio(&expression);
    let observations = match &ratio {
        Some((_, denominator)) if counts(denominator) => denominator.clone(),
        _ => Expr::Column(Column::from_name(ROWS)),
    };
    let time_name = spec.time.as_ref().or(default_time).map(|time| time.value.clone()).unwrap_or_default();
    let aggregate = Aggregate {
        table: table_name.to_owned(),
        time,
        time_type,
        time_name,
        joins,
        condition,
        measures,
        value: Value { expression, ratio, observations },
        dimensions,
        fill_zero: spec.fill.as_ref().is_some_and(|fill| fill.value == Fill::Zero),
    };
    Shaped::Ready(Shape::Aggregate(Box::new(aggregate)), data_type)
}

/// The expression, unless it holds an aggregate where only one row is looked at.
fn one_row(context: &Context, parsed: Option<Parsed>, what: &str, problems: &mut Problems) -> Option<Parsed> {
    let parsed = parsed?;
    match context.language.aggregate_in_row(&parsed, what) {
        Some(diagnostic) => {
            problems.add(diagnostic);
            None
        }
        None => Some(parsed),
    }
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

fn grains(spec: &KpiSpec, problems: &mut Problems) -> Vec<Grain> {
    let Some(written) = &spec.grains else { return vec![Grain::Month] };
    let mut grains = Vec::new();
    for word in written {
        match word.parse::<Grain>() {
            Ok(grain) if grains.contains(&grain) => {}
            Ok(grain) => grains.push(grain),
            Err(()) => {
                let diagnostic =
                    Diagnostic::error("unknown-grain", format!("there is no grain `{}`", word.value)).at(word.span);
                problems.add(match nearest(&word.value, Grain::ALL.map(Grain::name)) {
                    Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
                    None => diagnostic.hint("the grains are day, week, month, quarter and year"),
                });
            }
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

fn names(list: &Option<Vec<Spanned<String>>>) -> Vec<String> {
    list.iter().flatten().map(|name| name.value.clone()).collect()
}

/// Words that have a fixed list, and names of other KPIs.
fn check_words(
    context: &Context,
    spec: &KpiSpec,
    specs: &BTreeMap<String, (&LoadedDocument, &KpiSpec)>,
    problems: &mut Problems,
) {
    const RHYTHMS: [&str; 5] = ["daily", "weekly", "monthly", "quarterly", "yearly"];
    if let Some(review) = &spec.review
        && !RHYTHMS.contains(&review.as_str())
    {
        let diagnostic =
            Diagnostic::error("unknown-value", format!("there is no review rhythm `{}`", review.value)).at(review.span);
        problems.add(match nearest(review, RHYTHMS) {
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
