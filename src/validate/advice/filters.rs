//! The same filter written in several KPIs: a word of the business that should be defined once, as a predicate.
//!
//! Conditions are compared as SQL, not as text: case, brackets and the order of what AND joins make no difference. Whether
//! two different conditions mean the same is not found out.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr as SqlExpr, Ident, Spanned as _, UnaryOperator};

use super::{Definition, in_words};
use crate::diagnostic::{Diagnostic, Span};
use crate::spec::{KpiSpec, Spanned, TableSpec};
use crate::validate::expression::{Language, Order, as_meant, walk};

/// What AND joins, each part as text that is the same wherever it means the same.
type Parts = BTreeSet<String>;

/// A condition on the rows of a table, somewhere in a KPI.
struct Written<'a> {
    kpi: &'a str,
    table: &'a str,
    parts: Parts,
    place: Span,
}

/// Filters that several KPIs write, and those that a predicate of the table has a name for.
pub(super) fn repeated(
    language: &Language,
    tables: &BTreeMap<String, &TableSpec>,
    definitions: &[&Definition],
) -> Vec<Diagnostic> {
    let predicates = predicates(language, tables);
    let mut found = Vec::new();
    let mut groups: BTreeMap<(&str, Parts), Vec<Written>> = BTreeMap::new();
    for definition in definitions {
        for written in conditions(language, definition.name, definition.spec) {
            let known = predicates.get(written.table).into_iter().flatten();
            match known.filter(|predicate| predicate.parts.is_subset(&written.parts)).max_by_key(|one| one.parts.len())
            {
                Some(predicate) => found.push(has_a_name(&written, predicate)),
                None => groups.entry((written.table, written.parts.clone())).or_default().push(written),
            }
        }
    }
    found.extend(groups.into_values().filter_map(|group| written_twice(&group)));
    found
}

struct Predicate<'a> {
    name: &'a str,
    parts: Parts,
    place: Span,
}

fn predicates<'a>(
    language: &Language,
    tables: &BTreeMap<String, &'a TableSpec>,
) -> BTreeMap<&'a str, Vec<Predicate<'a>>> {
    let of_table = |spec: &'a TableSpec| {
        let predicates = spec.predicates.iter().filter_map(|(name, text)| {
            let parts = parts_of(&language.parse(text).ok()?.sql)?;
            Some(Predicate { name: &name.value, parts, place: name.span })
        });
        (spec.table.value.as_str(), predicates.collect())
    };
    tables.values().map(|spec| of_table(spec)).collect()
}

fn has_a_name(written: &Written, predicate: &Predicate) -> Diagnostic {
    let Written { kpi, table, place, .. } = written;
    let condition = in_sql(&predicate.parts);
    let message = format!("`{kpi}` writes out `{condition}`, which `{table}` calls `{}`", predicate.name);
    Diagnostic::advice("repeated-filter", message)
        .at(*place)
        .label(predicate.place, "the predicate")
        .hint(format!("write `{}` instead, so that the word is defined in one place", predicate.name))
}

fn written_twice(group: &[Written]) -> Option<Diagnostic> {
    let kpis: BTreeSet<&str> = group.iter().map(|written| written.kpi).collect();
    let mut places: Vec<&Written> = group.iter().collect();
    places.sort_by_key(|written| (written.place.file.0, written.place.start));
    let (first, others) = places.split_first().filter(|_| kpis.len() > 1)?;
    let condition = in_sql(&first.parts);
    let message = match kpis.len() {
        2 | 3 => format!("{} write the same filter, `{condition}`", in_words(kpis.iter().copied(), "and")),
        many => format!("{many} KPIs over `{}` write the same filter, `{condition}`", first.table),
    };
    let mut advice = Diagnostic::advice("repeated-filter", message)
        .at(first.place)
        .hint(format!("give it a name under `predicates` in table `{}`, and write that name", first.table));
    for other in others {
        advice = advice.label(other.place, format!("the same in `{}`", other.kpi));
    }
    Some(advice)
}

/// The conditions on rows that a KPI over a table writes, each once.
fn conditions<'a>(language: &Language, kpi: &'a str, spec: &'a KpiSpec) -> Vec<Written<'a>> {
    let mut found: Vec<Written> = Vec::new();
    let mut add = |table: &'a str, sql: &SqlExpr, place: Span| {
        let Some(parts) = parts_of(sql) else { return };
        if !found.iter().any(|written| written.table == table && written.parts == parts) {
            found.push(Written { kpi, table, parts, place });
        }
    };
    let whole = |text: &Spanned<String>| Some((language.parse(text).ok()?.sql, text.span));
    let filters = |text: &Spanned<String>| -> Vec<(SqlExpr, Span)> {
        let Ok(parsed) = language.parse(text) else { return Vec::new() };
        let calls = language.aggregates_in(&parsed.sql).into_iter();
        let filters = calls.filter_map(|call| call.filter);
        filters.map(|filter| (filter.as_ref().clone(), language.place(text, filter.span()))).collect()
    };
    if let Some(table) = &spec.from {
        let steps = spec.funnel.iter().flat_map(|steps| &steps.value).filter_map(|step| step.condition.as_ref());
        let in_full = spec.condition.iter().chain(steps).filter_map(whole);
        // Where entities come first, the value looks at what was computed for them, and not at rows of the table.
        let is_of_rows = spec.per.is_none() && spec.conversion.is_none() && spec.funnel.is_none();
        let value = spec.value.iter().filter(|_| is_of_rows);
        let in_values = value.chain(spec.columns.iter().map(|(_, text)| text)).flat_map(filters);
        in_full.chain(in_values).for_each(|(sql, place)| add(&table.value, &sql, place));
    }
    if let Some(conversion) = &spec.conversion {
        let in_full = conversion.condition.iter().filter_map(whole);
        let in_values = conversion.columns.iter().flat_map(|(_, text)| filters(text));
        in_full.chain(in_values).for_each(|(sql, place)| add(&conversion.from.value, &sql, place));
    }
    found
}

/// What a condition joins by AND; nothing where it is only a name, or not that.
fn parts_of(sql: &SqlExpr) -> Option<Parts> {
    let mut parts = Vec::new();
    split(sql, &mut parts);
    let is_name = |sql: &SqlExpr| matches!(sql, SqlExpr::Identifier(_) | SqlExpr::CompoundIdentifier(_));
    let is_plain = |sql: &SqlExpr| match sql {
        SqlExpr::UnaryOp { op: UnaryOperator::Not, expr } => is_name(expr),
        SqlExpr::Value(_) => true,
        other => is_name(other),
    };
    match parts.as_slice() {
        [only] if is_plain(only) => None,
        parts => Some(parts.iter().map(|part| in_one_case((*part).clone()).to_string()).collect()),
    }
}

fn split<'s>(sql: &'s SqlExpr, parts: &mut Vec<&'s SqlExpr>) {
    match sql {
        SqlExpr::Nested(inner) => split(inner, parts),
        SqlExpr::BinaryOp { left, op: BinaryOperator::And, right } => {
            split(left, parts);
            split(right, parts);
        }
        other => parts.push(other),
    }
}

/// Names without quotes mean the same in any case.
fn in_one_case(mut sql: SqlExpr) -> SqlExpr {
    let lower = |name: &mut Ident| name.value = as_meant(name);
    // No visit fails.
    let _ = walk(&mut sql, Order::WholeFirst, &mut |sql| {
        match sql {
            SqlExpr::Identifier(name) => lower(name),
            SqlExpr::CompoundIdentifier(names) => names.iter_mut().for_each(lower),
            _ => {}
        }
        Ok(())
    });
    sql
}

fn in_sql(parts: &Parts) -> String {
    Vec::from_iter(parts.iter().map(String::as_str)).join(" AND ")
}
