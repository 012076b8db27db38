//! Joins, each proven to find at most one row by the key that the other table declares, or by the validity of a history.
//!
//! Whether keys and histories keep their promise in the data is not decided here; a run looks.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::arrow::datatypes::DataType;

use super::expression::list;
use super::tables::{Tables, unknown_column};
use super::{Problems, typing};
use crate::diagnostic::{Diagnostic, nearest};
use crate::model::{Join, Origin, Table, Validity};
use crate::spec::{JoinSpec, Spanned, TableSpec};

/// The joins of a table, each proven to find at most one row by the key that the other table declares.
pub(super) fn joins(
    tables: &Tables,
    specs: &BTreeMap<String, &TableSpec>,
    spec: &TableSpec,
    problems: &mut Problems,
) -> BTreeMap<String, Join> {
    let mut joins = BTreeMap::new();
    for (name, join) in spec.joins.iter() {
        if spec.table.value == name.value {
            problems.add(
                Diagnostic::error("duplicate-name", format!("a join of `{0}` cannot be called `{0}`", name.value))
                    .at(name.span)
                    .hint("give the join another name"),
            );
            continue;
        }
        let Some(target_spec) = specs.get(&join.table.value) else {
            if tables.states.contains_key(&join.table.value) {
                continue;
            }
            let diagnostic = Diagnostic::error("unknown-table", format!("there is no table `{}`", join.table.value))
                .at(join.table.span);
            problems.add(match nearest(&join.table.value, specs.keys().map(String::as_str)) {
                Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
                None => diagnostic.hint(format!("the tables are {}", list(specs.keys().map(String::as_str)))),
            });
            continue;
        };
        let Some(base) = tables.ready(&spec.table.value) else { continue };
        let on = join_columns(join);
        let target = tables.ready(&join.table.value);
        if let Some(target) = target
            && !(columns_exist(base, target, join, &on, problems)
                && types_agree((base, spec), (target, target_spec), join, &on, problems))
        {
            continue;
        }
        let valid = match &join.valid {
            Some(columns) => match validity(columns, target.map(AsRef::as_ref), problems) {
                Some(valid) => Some(valid),
                None => continue,
            },
            None => None,
        };
        // Whether a history has one row for each time is seen in the data.
        if valid.is_none()
            && let Some(diagnostic) = may_multiply(name, join, &on, target_spec)
        {
            problems.add(diagnostic);
            continue;
        }
        if target.is_some() {
            joins.insert(name.value.clone(), Join { table: join.table.value.clone(), on, valid });
        }
    }
    joins
}

/// The two columns between which a row of a history is valid.
fn validity(
    columns: &Spanned<Vec<Spanned<String>>>,
    history: Option<&Table>,
    problems: &mut Problems,
) -> Option<Validity> {
    let [from, to] = columns.value.as_slice() else {
        problems.add(
            Diagnostic::error("wrong-value", format!("`valid` names two columns, not {}", columns.value.len()))
                .at(columns.span)
                .hint("write from when and until when a row is valid, such as `[valid_from, valid_to]`"),
        );
        return None;
    };
    let before = problems.count();
    let mut families = Vec::new();
    for name in [from, to] {
        let Some(history) = history else { continue };
        let Some((_, field)) = history.schema.column_with_name(name) else {
            let known: Vec<&str> = history.schema.fields().iter().map(|field| field.name().as_str()).collect();
            problems.add(unknown_column(name, &history.name, known.into_iter()));
            continue;
        };
        match Family::of(field.data_type()) {
            Some(family @ (Family::Date | Family::Timestamp)) => families.push(family),
            _ => problems.add(
                Diagnostic::error(
                    "wrong-type",
                    format!(
                        "validity is told by dates or timestamps, but `{}.{}` is {}",
                        history.name,
                        name.value,
                        typing::type_name(field.data_type())
                    ),
                )
                .at(name.span)
                .hint(format!("give it a type in table `{}`, such as `{{type: date}}`", history.name)),
            ),
        }
    }
    if let [Family::Date, Family::Timestamp] | [Family::Timestamp, Family::Date] = families.as_slice() {
        problems.add(
            Diagnostic::error(
                "wrong-type",
                format!("one of `{}` and `{}` is a date, the other a timestamp", from.value, to.value),
            )
            .at(columns.span)
            .hint(
                "give both the same `type` under `columns`, so that the end of a row is the beginning of the next one",
            ),
        );
    }
    (problems.count() == before).then(|| Validity { from: from.value.clone(), to: to.value.clone() })
}

pub(super) fn join_columns(join: &Spanned<JoinSpec>) -> Vec<(String, String)> {
    let split = |text: &str| match text.split_once('=') {
        Some((here, there)) => (here.trim().to_owned(), there.trim().to_owned()),
        None => (text.trim().to_owned(), text.trim().to_owned()),
    };
    join.on.items().iter().map(|item| split(item)).collect()
}

fn columns_exist(
    base: &Table,
    target: &Table,
    join: &Spanned<JoinSpec>,
    on: &[(String, String)],
    problems: &mut Problems,
) -> bool {
    let before = problems.count();
    for (item, (here, there)) in join.on.items().iter().zip(on) {
        for (table, column) in [(base, here), (target, there)] {
            // A word that stands for both columns is reported once.
            if here == there && problems.count() > before {
                break;
            }
            if table.schema.column_with_name(column).is_none() {
                let known: Vec<&str> = table.schema.fields().iter().map(|field| field.name().as_str()).collect();
                problems.add(unknown_column(
                    &Spanned::new(column.clone(), item.span),
                    &table.name,
                    known.iter().copied(),
                ));
            }
        }
    }
    problems.count() == before
}

/// Whether the values of joined columns can be the same ones. DataFusion would make them agree by turning numbers into
/// texts or doubles, and then rows that belong together would not meet.
fn types_agree(
    (base, base_spec): (&Table, &TableSpec),
    (target, target_spec): (&Table, &TableSpec),
    join: &Spanned<JoinSpec>,
    on: &[(String, String)],
    problems: &mut Problems,
) -> bool {
    let before = problems.count();
    for (item, (here, there)) in join.on.items().iter().zip(on) {
        let data_type =
            |table: &Table, column: &str| Some(table.schema.column_with_name(column)?.1.data_type().clone());
        let (Some(left), Some(right)) = (data_type(base, here), data_type(target, there)) else { continue };
        let families = (Family::of(&left), Family::of(&right));
        let is_empty = has_no_values(base, base_spec, here) || has_no_values(target, target_spec, there);
        if is_empty || matches!(families, (Some(left), Some(right)) if left == right) {
            continue;
        }
        let (left, right) = (typing::type_name(&left), typing::type_name(&right));
        let (base, target) = (&base.name, &target.name);
        let diagnostic = Diagnostic::error(
            "join-types",
            format!("`{base}.{here}` is {left} and `{target}.{there}` is {right}, which cannot be joined"),
        )
        .at(item.span);
        problems.add(match left == right {
            false => diagnostic.hint("give both the same `type` under `columns`"),
            true => diagnostic.hint("give both the same `type` under `columns`, such as `integer` or `text`"),
        });
    }
    problems.count() == before
}

/// Whether a column is text only because nothing in its files says otherwise.
fn has_no_values(table: &Table, spec: &TableSpec, column: &str) -> bool {
    let Origin::Files { opened, .. } = &table.origin else { return false };
    let raw = spec.columns.get(column).and_then(|spec| spec.from.as_ref()).map_or(column, |from| from.value.as_str());
    opened.empty_columns.iter().any(|empty| empty == raw)
}

/// Types whose values can be equal exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Text,
    Number,
    Boolean,
    Date,
    Timestamp,
}

impl Family {
    /// `None` for types that are no keys: doubles are not exact, and nothing equals a list.
    pub fn of(data_type: &DataType) -> Option<Family> {
        match data_type {
            DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => Some(Family::Text),
            DataType::Dictionary(_, values) => Family::of(values),
            DataType::Boolean => Some(Family::Boolean),
            DataType::Date32 | DataType::Date64 => Some(Family::Date),
            DataType::Timestamp(_, _) => Some(Family::Timestamp),
            DataType::Decimal32(_, _)
            | DataType::Decimal64(_, _)
            | DataType::Decimal128(_, _)
            | DataType::Decimal256(_, _) => Some(Family::Number),
            other if other.is_integer() => Some(Family::Number),
            _ => None,
        }
    }
}

fn may_multiply(
    name: &Spanned<String>,
    join: &Spanned<JoinSpec>,
    on: &[(String, String)],
    target: &TableSpec,
) -> Option<Diagnostic> {
    let key: BTreeSet<String> = target
        .primary_key
        .as_ref()
        .map(|key| key.items())
        .unwrap_or_default()
        .into_iter()
        .map(|key| key.value)
        .collect();
    let there: BTreeSet<String> = on.iter().map(|(_, there)| there.clone()).collect();
    if !key.is_empty() && key.is_subset(&there) {
        return None;
    }
    let table = &target.table.value;
    let columns = list(there.iter().map(String::as_str));
    let diagnostic = Diagnostic::error(
        "join-multiplies",
        format!("join `{}` finds rows of `{table}` by {columns}, which is not its primary key, so one row could become several", name.value),
    )
    .at(join.on.span);
    Some(match key.is_empty() {
        true => diagnostic.hint(format!(
            "if {columns} identifies a row of `{table}`, say so there: `primary_key: {}`",
            one_or_list(&there)
        )),
        false => diagnostic.hint(format!(
            "join on its primary key {}, or aggregate `{table}` first in a derived table (a `.sql` file)",
            list(key.iter().map(String::as_str))
        )),
    })
}

fn one_or_list(names: &BTreeSet<String>) -> String {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    match names.as_slice() {
        [one] => (*one).to_owned(),
        many => format!("[{}]", many.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::TimeUnit;

    use super::*;

    #[test]
    fn keys_are_of_one_family() {
        let decimal = DataType::Decimal128(18, 2);
        assert_eq!(Family::of(&DataType::Int64), Family::of(&decimal));
        assert_ne!(Family::of(&DataType::Int64), Family::of(&DataType::Utf8View));
        assert_ne!(Family::of(&DataType::Date32), Family::of(&DataType::Timestamp(TimeUnit::Second, None)));
        assert_eq!(Family::of(&DataType::Float64), None, "a double is no key");
    }
}
