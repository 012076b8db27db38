//! What analysts assert about the results of a KPI: conditions over the columns that its published rows have.
//!
//! Names in an `assert` are columns of results, not of the table behind them; nothing is computed here.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{DFSchema, TableReference};

use super::expression::{Names, Namespace, Unresolved, resolve};
use super::kpis::Context;
use super::testing::{one_line, place, severity};
use super::{Problems, typing};
use crate::diagnostic::Diagnostic;
use crate::load::LoadedDocument;
use crate::model::{Assertion, Kpi, Skipped, SkippedTest, known_dimensions};
use crate::spec::{KpiSpec, KpiTestSpec, Spanned};

/// The assertions of every KPI that has some, and those that must wait for data.
pub(super) fn assertions(
    context: &Context,
    specs: &BTreeMap<String, (&LoadedDocument, &KpiSpec)>,
    (ready, skipped): (&[Arc<Kpi>], &[Skipped]),
    problems: &mut Problems,
) -> (BTreeMap<String, Vec<Assertion>>, BTreeMap<String, Vec<SkippedTest>>) {
    let mut waiting: BTreeMap<String, Vec<SkippedTest>> = BTreeMap::new();
    let ready: BTreeMap<String, Arc<Kpi>> = ready.iter().map(|kpi| (kpi.name.clone(), kpi.clone())).collect();
    let mut found = BTreeMap::new();
    for (name, (_, spec)) in specs {
        let mut assertions = Vec::new();
        for test in spec.tests.iter().flatten() {
            check_form(test, context.broken_kpis.contains(name), problems);
            let Some(text) = &test.assert else { continue };
            if let Some(skipped) = skipped.iter().find(|skipped| skipped.kpi == *name) {
                waiting.entry(name.clone()).or_default().push(SkippedTest {
                    name: words(test, text),
                    place: place(context.language.sources, test.span),
                    reason: skipped.reason.clone(),
                });
            }
            assertions.extend(assertion(context, ready.get(name).map(AsRef::as_ref), &ready, test, text, problems));
        }
        if !assertions.is_empty() {
            found.insert(name.clone(), assertions);
        }
    }
    (found, waiting)
}

/// What an assertion holds, in words.
fn words(test: &KpiTestSpec, text: &str) -> String {
    test.name.as_ref().map_or_else(|| format!("`{}`", one_line(text)), |name| name.value.trim().to_owned())
}

/// A test is about given rows or about real results. Of a definition that is there in part, nothing is missed.
fn check_form(test: &Spanned<KpiTestSpec>, is_in_part: bool, problems: &mut Problems) {
    const EXAMPLE: &str =
        "such as `given: {orders: [{amount: 5}]}` and `expect: [{period_start: 2025-01-01, value: 5}]`";
    let of_given = [
        ("given", test.given.as_ref().map(|given| given.span)),
        ("as_of", test.as_of.as_ref().map(|as_of| as_of.span)),
        ("expect", test.expect.as_ref().map(|expect| expect.span)),
    ];
    if test.assert.is_some() {
        for (key, span) in of_given {
            let Some(span) = span else { continue };
            problems.add(
                Diagnostic::error(
                    "misplaced-key",
                    format!("`{key}` has no meaning beside `assert`, which looks at real results"),
                )
                .at(span)
                .hint("write two tests"),
            );
        }
        return;
    }
    if is_in_part {
        return;
    }
    if of_given.iter().all(|(_, span)| span.is_none()) {
        problems.add(
            Diagnostic::error(
                "missing-key",
                "a test of a KPI has rows that are `given` and what to `expect`, or an `assert`",
            )
            .at(test.span)
            .hint(format!("{EXAMPLE}, or `assert: value >= 0`")),
        );
        return;
    }
    let is_empty = test.expect.as_ref().is_some_and(|expect| expect.is_empty());
    for (key, is_missing) in [("given", test.given.is_none()), ("expect", test.expect.is_none() || is_empty)] {
        if is_missing {
            problems.add(
                Diagnostic::error("missing-key", format!("a test on given rows has no `{key}`"))
                    .at(test.span)
                    .hint(EXAMPLE),
            );
        }
    }
}

fn assertion(
    context: &Context,
    kpi: Option<&Kpi>,
    ready: &BTreeMap<String, Arc<Kpi>>,
    test: &Spanned<KpiTestSpec>,
    text: &Spanned<String>,
    problems: &mut Problems,
) -> Option<Assertion> {
    let parsed = problems.take(context.language.parse(text))?;
    if let Some(diagnostic) = context.language.aggregate_in_row(&parsed, "`assert`") {
        problems.add(diagnostic.hint("an `assert` holds for each row of the result; compare its columns"));
        return None;
    }
    let kpi = kpi?;
    let columns = result_columns(kpi, ready);
    let names = Names {
        table: kpi.name.clone(),
        columns: columns.iter().map(|(name, _)| name.clone()).collect(),
        ..Names::default()
    };
    let namespace = Namespace::from([(kpi.name.clone(), names)]);
    let resolved = resolve(context.language, &namespace, &kpi.name, &parsed).map_err(|problem| match problem {
        Unresolved::Mistake(diagnostic) => Unresolved::Mistake(Box::new(of_results(*diagnostic, kpi))),
        other => other,
    });
    let resolved = problems.resolved(resolved)?;
    let fields: Vec<Field> = columns.into_iter().map(|(name, data_type)| Field::new(name, data_type, true)).collect();
    let schema = DFSchema::try_from_qualified_schema(TableReference::bare(kpi.name.as_str()), &Schema::new(fields));
    let schema = problems.planned(schema, text.span)?;
    let (condition, data_type) = problems.planned(typing::plan(context.state, resolved.sql, &schema), text.span)?;
    problems.is_condition(&data_type, text).then(|| Assertion {
        name: words(test, text),
        place: place(context.language.sources, test.span),
        severity: severity(&test.severity),
        condition,
    })
}

/// A mistake about names in words that are about results.
fn of_results(mut diagnostic: Diagnostic, kpi: &Kpi) -> Diagnostic {
    if diagnostic.code == "unknown-column" {
        diagnostic.message =
            diagnostic.message.replace("there is no column, dimension or predicate", "there is no column");
        diagnostic.message = diagnostic.message.replace(" in `", " in the results of `");
    }
    if diagnostic.code == "unknown-join" {
        diagnostic.message = format!("the results of `{}` have no joins", kpi.name);
        diagnostic.hint =
            Some("a dimension that is a path stands in double quotes, such as `\"account.region\"`".into());
    }
    diagnostic
}

/// The columns of a KPI's published rows, with their types.
fn result_columns(kpi: &Kpi, ready: &BTreeMap<String, Arc<Kpi>>) -> Vec<(String, DataType)> {
    let text = || DataType::Utf8;
    let mut columns = vec![
        ("kpi".to_owned(), text()),
        ("grain".to_owned(), text()),
        ("period_start".to_owned(), DataType::Date32),
        ("period_end".to_owned(), DataType::Date32),
        ("breakdown".to_owned(), text()),
    ];
    let known = known_dimensions(ready, kpi);
    for name in kpi.dimension_sets.iter().flatten() {
        if let Some(dimension) = known.and_then(|known| known.get(name))
            && !columns.iter().any(|(column, _)| column == name)
        {
            columns.push((name.clone(), dimension.data_type.clone()));
        }
    }
    columns.push(("value".to_owned(), kpi.value_type.clone()));
    for (name, data_type) in [
        ("numerator", DataType::Float64),
        ("denominator", DataType::Float64),
        ("n", DataType::Int64),
        ("target", DataType::Float64),
        ("status", text()),
        ("is_complete", DataType::Boolean),
        ("is_ripe", DataType::Boolean),
    ] {
        columns.push((name.to_owned(), data_type));
    }
    columns.extend(kpi.stored());
    columns
}
