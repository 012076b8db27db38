//! What a table's definition says over its columns: the standard filter, dimensions and predicates, and the names that they
//! give to expressions.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::logical_expr::Expr;
use datafusion::prelude::SessionContext;

use super::expression::{Language, Names, Namespace, Unresolved, resolve, resolve_definition};
use super::queries::word_in;
use super::tables::{State, Tables};
use super::{Problems, typing};
use crate::diagnostic::Diagnostic;
use crate::model::Join;
use crate::spec::{Spanned, TableSpec};

pub(super) fn standard_filter(
    context: &SessionContext,
    language: &Language,
    spec: &TableSpec,
    text: &Spanned<String>,
    columns: &[String],
    schema: &DFSchema,
    problems: &mut Problems,
) -> Option<Expr> {
    let parsed = problems.take(language.parse(text))?;
    if let Some(diagnostic) = language.aggregate_in_row(&parsed, "the standard filter") {
        problems.add(diagnostic);
        return None;
    }
    let mut names = Names { table: spec.table.value.clone(), columns: columns.to_vec(), ..Names::default() };
    let mut unread = Vec::new();
    for (name, predicate) in spec.predicates.iter() {
        match language.parse(predicate) {
            Ok(parsed) => {
                names.predicates.insert(name.value.clone(), parsed);
            }
            // Reported with the predicates, unless the filter fails for it.
            Err(diagnostic) => unread.push((name.value.as_str(), diagnostic)),
        }
    }
    let namespace = Namespace::from([(names.table.clone(), names)]);
    let resolved = match resolve(language, &namespace, &spec.table.value, &parsed) {
        Err(_) if unread.iter().any(|(name, _)| word_in(text, name).is_some()) => {
            unread.into_iter().for_each(|(_, diagnostic)| problems.add(*diagnostic));
            return None;
        }
        Err(Unresolved::Elsewhere) => {
            mistakes_of_predicates(language, spec, &namespace[&spec.table.value], text, problems);
            return None;
        }
        Err(Unresolved::Mistake(mut diagnostic)) if diagnostic.code == "unknown-join" => {
            diagnostic.message = "the standard filter of a table uses its own columns only".into();
            diagnostic.hint =
                Some("put a condition on joined columns into the KPIs' `where`, or make a derived table".into());
            problems.add(*diagnostic);
            return None;
        }
        other => problems.resolved(other)?,
    };
    let (filter, data_type) = problems.planned(typing::plan(&context.state(), resolved.sql, schema), text.span)?;
    problems.is_condition(&data_type, text).then_some(filter)
}

/// Reports the predicates that the standard filter fails for. The table stays broken, so nobody looks at them later.
fn mistakes_of_predicates(
    language: &Language,
    spec: &TableSpec,
    names: &Names,
    text: &Spanned<String>,
    problems: &mut Problems,
) {
    let before = problems.count();
    let mut names = names.clone();
    // A predicate may use joins and dimensions; only the standard filter may not.
    names.joins = spec.joins.iter().map(|(join, spec)| (join.value.clone(), spec.table.value.clone())).collect();
    for (name, definition) in spec.dimensions.iter() {
        let span = definition.expression_span.unwrap_or(definition.span);
        if let Ok(parsed) = language.parse(&Spanned::new(definition.expression.clone(), span)) {
            names.dimensions.insert(name.value.clone(), parsed);
        }
    }
    let namespace = Namespace::from([(names.table.clone(), names.clone())]);
    for (name, predicate) in &names.predicates {
        if let Err(Unresolved::Mistake(diagnostic)) =
            resolve_definition(language, &namespace, &spec.table.value, name, predicate)
        {
            problems.add(*diagnostic);
        }
    }
    if problems.count() == before {
        problems.add(
            Diagnostic::error("unknown-join", "the standard filter of a table uses its own columns only")
                .at(text.span)
                .hint("a predicate in it uses a join or a dimension; put the condition into the KPIs' `where`, or make a derived table"),
        );
    }
}

/// The names that each ready table offers.
pub(super) fn namespace(
    language: &Language,
    tables: &Tables,
    specs: &BTreeMap<String, &TableSpec>,
    problems: &mut Problems,
) -> Namespace {
    let mut namespace = Namespace::new();
    for (name, spec) in specs {
        let Some(table) = tables.ready(name) else { continue };
        let mut names = Names {
            table: name.clone(),
            columns: table.schema.fields().iter().map(|field| field.name().clone()).collect(),
            ..Names::default()
        };
        for (dimension, definition) in spec.dimensions.iter() {
            let span = definition.expression_span.unwrap_or(definition.span);
            if let Some(parsed) = problems.take(language.parse(&Spanned::new(definition.expression.clone(), span))) {
                names.dimensions.insert(dimension.value.clone(), parsed);
            }
        }
        for (predicate, text) in spec.predicates.iter() {
            if names.dimensions.contains_key(&predicate.value) {
                problems.add(
                    Diagnostic::error("duplicate-name", format!("`{}` is a dimension already", predicate.value))
                        .at(predicate.span)
                        .hint("give the predicate another name"),
                );
                continue;
            }
            if let Some(parsed) = problems.take(language.parse(text)) {
                names.predicates.insert(predicate.value.clone(), parsed);
            }
        }
        names.joins = spec.joins.iter().map(|(join, spec)| (join.value.clone(), spec.table.value.clone())).collect();
        namespace.insert(name.clone(), names);
    }
    namespace
}

/// Types every dimension and predicate, also those that no KPI uses.
pub(super) fn check_definitions(
    context: &SessionContext,
    language: &Language,
    tables: &Tables,
    specs: &BTreeMap<String, &TableSpec>,
    problems: &mut Problems,
) {
    // Joins are not checked yet; a table with unchecked joins still tells the types behind them.
    let mut joined = Tables { states: tables.states.clone(), ..Tables::default() };
    for (name, spec) in specs {
        if let Some(State::Ready(table)) = joined.states.get_mut(name) {
            Arc::make_mut(table).joins = (spec.joins.iter())
                .map(|(join, spec)| {
                    (join.value.clone(), Join { table: spec.table.value.clone(), on: Vec::new(), valid: None })
                })
                .collect();
        }
    }
    for (name, names) in &tables.namespace {
        let definitions = names.dimensions.iter().map(|entry| (entry, false));
        for ((definition, parsed), is_condition) in
            definitions.chain(names.predicates.iter().map(|entry| (entry, true)))
        {
            let what = if is_condition { "a predicate" } else { "a dimension" };
            if let Some(diagnostic) = language.aggregate_in_row(parsed, what) {
                problems.add(diagnostic);
                continue;
            }
            let resolved = resolve_definition(language, &tables.namespace, name, definition, parsed);
            let Some(resolved) = problems.resolved(resolved) else { continue };
            let Some(schema) = joined.joined_schema(name, &resolved.joins) else { continue };
            let typed = typing::plan(&context.state(), resolved.sql, &schema);
            let Some((_, data_type)) = problems.planned(typed, parsed.text.span) else { continue };
            if is_condition {
                problems.is_condition(&data_type, &parsed.text);
            } else if data_type.is_nested() {
                problems.add(
                    Diagnostic::error(
                        "wrong-type",
                        format!("dimension `{definition}` is a {data_type}, which cannot be grouped by"),
                    )
                    .at(parsed.text.span),
                );
            }
        }
    }
}
