//! Tests of KPIs on given rows: what they give and what they expect, and the rows in the place of files.
//!
//! A test runs like a project whose files hold the given rows ([`Given`]). Here is checked what can be known before: names,
//! dates, and whether a value fits its column where the real files tell the columns.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::NaiveDate;
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, Ident};

use super::columns::typed_texts;
use super::expression::{Language, Order, list, walk};
use super::joins::join_columns;
use super::kpis::RESULT_COLUMNS;
use super::tables::unknown_column;
use super::testing::{place, severity, unknown_table};
use super::{Problems, Validated, typing};
use crate::catalog::{GivenRows, Known, Periods, Source, SourceError, given};
use crate::diagnostic::{Diagnostic, Span, nearest};
use crate::load::LoadedDocument;
use crate::model::{ExpectedRow, GivenTest, Kpi, Origin, Table};
use crate::spec::{GivenRowSpec, GivenTableSpec, KpiSpec, KpiTestSpec, Spanned, TableSpec};
use crate::time::{Calendar, Grain};

/// Rows in the place of files.
#[derive(Debug, Clone)]
pub struct Given {
    pub rows: BTreeMap<String, GivenRows>,
    /// The real files, where they are at hand.
    pub files: BTreeMap<String, Arc<Source>>,
    /// The calendar of the project, which takes longer to make than everything else here.
    pub periods: Arc<Periods>,
}

impl Given {
    /// What stands in the place of a table's files. Names are columns that definitions mention, for where there are no
    /// files to tell the columns.
    pub(super) fn source(&self, spec: &TableSpec, mentioned: &Mentioned) -> Result<Source, SourceError> {
        let name = &spec.table.value;
        let names = columns_of(mentioned, name);
        let known = match self.files.get(name) {
            Some(files) => Known::Files(files),
            None => Known::Names(&names),
        };
        let rows = self.rows.get(name);
        if rows.is_none() && matches!(known, Known::Names([])) {
            return Err(SourceError::Absent(format!("it has no files and the test does not give it; give `{name}`")));
        }
        let none = GivenRows::default();
        given(rows.unwrap_or(&none), &null_values(spec), &known).map_err(|bad| {
            let message = match bad.first() {
                Some(bad) => {
                    format!("row {} of `{name}` has a value in `{}` that does not fit", bad.row + 1, bad.column)
                }
                None => format!("the rows of `{name}` cannot be held"),
            };
            SourceError::Unreadable { message, hint: None }
        })
    }

    /// The given rows in the place of what a query gives, in the types of its columns if it can be planned.
    pub(super) fn in_place_of_query(
        &self,
        spec: &TableSpec,
        columns: Option<&Schema>,
        mentioned: &Mentioned,
    ) -> Option<Source> {
        let rows = self.rows.get(&spec.table.value)?;
        let names = columns_of(mentioned, &spec.table.value);
        let known = columns.map_or(Known::Names(&names), Known::Columns);
        given(rows, &[], &known).or_else(|_| given(rows, &[], &Known::Names(&names))).ok()
    }
}

fn columns_of(mentioned: &Mentioned, table: &str) -> Vec<(String, DataType)> {
    let columns = mentioned.get(table).into_iter().flatten();
    columns.map(|(name, data_type)| (name.clone(), data_type.clone())).collect()
}

fn null_values(spec: &TableSpec) -> Vec<String> {
    let words = spec.csv.iter().flat_map(|csv| csv.null_values.iter().flatten());
    words.map(|word| word.value.clone()).collect()
}

/// The tests on given rows of each KPI that has some, as far as they make sense.
pub(super) fn given_tests(
    context: &GivenContext,
    kpis: &BTreeMap<String, (&LoadedDocument, &KpiSpec)>,
    problems: &mut Problems,
) -> BTreeMap<String, Vec<GivenTest>> {
    let mut found = BTreeMap::new();
    for (name, (_, spec)) in kpis {
        let written = spec.tests.iter().flatten();
        let tests: Vec<GivenTest> = written.filter_map(|test| given_test(context, spec, test, problems)).collect();
        if !tests.is_empty() {
            found.insert(name.clone(), tests);
        }
    }
    found
}

/// What checking tests on given rows needs to know.
pub(super) struct GivenContext<'a> {
    pub session: &'a datafusion::prelude::SessionContext,
    pub language: &'a Language<'a>,
    pub tables: &'a BTreeMap<String, &'a TableSpec>,
    pub broken_tables: &'a BTreeSet<String>,
    pub validated: &'a Validated,
}

impl GivenContext<'_> {
    fn calendar(&self) -> &Calendar {
        &self.validated.model.project.calendar
    }
}

fn given_test(
    context: &GivenContext,
    spec: &KpiSpec,
    test: &Spanned<KpiTestSpec>,
    problems: &mut Problems,
) -> Option<GivenTest> {
    let (given, expect) = (test.given.as_ref()?, test.expect.as_ref().filter(|_| test.assert.is_none())?);
    let before = problems.count();
    let given = given.iter().filter_map(|(name, rows)| {
        let rows = given_rows(context, name, rows, problems)?;
        Some((name.value.clone(), rows))
    });
    let given = given.collect();
    let kpi = context.validated.model.kpis.get(&spec.kpi.value);
    let first_grain = spec.grains.as_ref().and_then(|grains| grains.first()).map_or("month", |grain| grain.as_str());
    let first_grain: Grain = first_grain.parse().unwrap_or(Grain::Month);
    let rows = expect.iter();
    let expected: Vec<Option<ExpectedRow>> =
        rows.map(|row| expected_row(context, kpi.map(AsRef::as_ref), first_grain, row, problems)).collect();
    let as_of = test.as_of.as_ref().map(|text| date(text, problems));
    let expected = expected.into_iter().collect::<Option<Vec<ExpectedRow>>>()?;
    let last_day = |row: &ExpectedRow| context.calendar().period_end(row.period_start, row.grain)?.pred_opt();
    let as_of = match as_of {
        Some(written) => written?,
        None => expected.iter().filter_map(last_day).max()?,
    };
    let name = test.name.as_ref().map(|name| name.value.trim().to_owned());
    (problems.count() == before).then(|| GivenTest {
        name: name.unwrap_or_else(|| "given rows".to_owned()),
        place: place(context.language.sources, test.span),
        severity: severity(&test.severity),
        as_of,
        given,
        expected,
    })
}

fn date(text: &Spanned<String>, problems: &mut Problems) -> Option<NaiveDate> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    if date.is_none() {
        problems.add(
            Diagnostic::error("wrong-value", format!("`{}` is no date", text.value))
                .at(text.span)
                .hint("write it as 2025-01-31"),
        );
    }
    date
}

/// The rows that a test gives for a table, once their columns and values are known to fit it.
fn given_rows(
    context: &GivenContext,
    name: &Spanned<String>,
    written: &GivenTableSpec,
    problems: &mut Problems,
) -> Option<GivenRows> {
    let Some(spec) = context.tables.get(&name.value) else {
        if !context.broken_tables.contains(&name.value) {
            problems.add(unknown_table(context.tables, name));
        }
        return None;
    };
    let mut columns: Vec<Spanned<String>> = Vec::new();
    for (column, _) in written.iter().flat_map(|row| row.iter()) {
        if !columns.iter().any(|known| known.value == column.value) {
            columns.push(column.clone());
        }
    }
    let rows = GivenRows {
        columns: columns.iter().map(|column| column.value.clone()).collect(),
        rows: (written.iter())
            .map(|row| columns.iter().map(|column| row.get(column).and_then(|value| value.value.0.clone())).collect())
            .collect(),
    };
    let table = context.validated.model.tables.get(&name.value).map(AsRef::as_ref);
    let before = problems.count();
    if let Some(known) = table.map(|table| known_columns(table, spec)) {
        for column in columns.iter().filter(|column| !known.contains(&column.value)) {
            problems.add(not_in_files(column, spec, &known));
        }
    }
    if problems.count() == before {
        values_fit(spec, table, written, &rows, problems);
    }
    (problems.count() == before).then_some(rows)
}

/// The columns as files or a query have them.
fn known_columns(table: &Table, spec: &TableSpec) -> Vec<String> {
    if let Origin::Files { opened, .. } = &table.origin {
        return opened.schema().fields().iter().map(|field| field.name().clone()).collect();
    }
    // A query's columns pass through, but for those that the definition renames or computes.
    let columns = table.schema.fields().iter().map(|field| field.name());
    let as_it_is = columns.filter(|name| match spec.columns.get(name) {
        Some(column) => column.from.is_none() && column.expression.is_none(),
        None => true,
    });
    let renamed = spec.columns.iter().filter_map(|(_, column)| column.from.as_ref().map(|from| &from.value));
    as_it_is.chain(renamed).cloned().collect()
}

fn not_in_files(column: &Spanned<String>, spec: &TableSpec, known: &[String]) -> Diagnostic {
    let table = &spec.table.value;
    let mut diagnostic = unknown_column(column, table, known.iter().map(String::as_str));
    if spec.query.is_some() {
        diagnostic.message = format!("the query of `{table}` has no column `{}`", column.value);
    } else {
        diagnostic.message = format!("the files of `{table}` have no column `{}`", column.value);
    }
    match spec.columns.get(column) {
        Some(defined) if defined.from.is_some() => {
            let from = defined.from.as_ref().map(|from| from.value.as_str()).unwrap_or_default();
            diagnostic.hint(format!("given rows have the names of the files: write `{from}`"))
        }
        Some(defined) if defined.expression.is_some() => {
            diagnostic.hint("it is computed from other columns; give those")
        }
        _ => diagnostic,
    }
}

/// Every value can be read in the type that its column has.
fn values_fit(
    spec: &TableSpec,
    table: Option<&Table>,
    written: &GivenTableSpec,
    rows: &GivenRows,
    problems: &mut Problems,
) {
    let null_values = null_values(spec);
    let known = match table.map(|table| &table.origin) {
        Some(Origin::Files { opened, .. }) => Known::Files(opened),
        Some(Origin::Query { .. }) | None => Known::Names(&[]),
    };
    let mut no_fit = |row: usize, column: &str, data_type: &str| {
        let value = written.get(row).and_then(|row| row.get(column));
        let Some((span, Some(text))) = value.map(|value| (value.span, value.value.0.as_deref())) else { return };
        problems.add(
            Diagnostic::error("wrong-value", format!("`{text}` is no {data_type}, as column `{column}` is"))
                .at(span)
                .hint("write the value as the files of the table have it"),
        );
    };
    match given(rows, &null_values, &known) {
        Err(bad) => bad.iter().for_each(|bad| no_fit(bad.row, &bad.column, &typing::type_name(&bad.data_type))),
        Ok(source) if spec.query.is_none() => {
            for typed in typed_texts(spec, &source) {
                let Some(index) = rows.columns.iter().position(|column| *column == typed.column) else { continue };
                for (row, values) in rows.rows.iter().enumerate() {
                    let Some(text) = values[index].as_deref() else { continue };
                    if !text.is_empty() && !null_values.iter().any(|null| null == text) && !typed.fits(text.trim()) {
                        no_fit(row, &typed.column, &typed.name);
                    }
                }
            }
        }
        Ok(_) => {}
    }
}

/// Columns of results whose values are numbers.
const NUMBERS: [&str; 5] = ["value", "numerator", "denominator", "n", "target"];

fn expected_row(
    context: &GivenContext,
    kpi: Option<&Kpi>,
    first_grain: Grain,
    written: &Spanned<GivenRowSpec>,
    problems: &mut Problems,
) -> Option<ExpectedRow> {
    let before = problems.count();
    let text = |key: &str| {
        let value = written.get(key)?;
        value.value.0.clone().map(|text| Spanned::new(text, value.span))
    };
    let grain = match text("grain") {
        None => Some(first_grain),
        Some(word) => grain(&word, problems),
    };
    let period_start = match text("period_start") {
        Some(text) => date(&text, problems).map(|date| (date, text.span)),
        None => {
            problems.add(
                Diagnostic::error("missing-key", "an expected row has no `period_start`")
                    .at(written.span)
                    .hint("write the first day of its period, such as `period_start: 2025-01-01`"),
            );
            None
        }
    };
    if let (Some(grain), Some((day, span))) = (grain, period_start)
        && let Some(start) = context.calendar().period_start(day, grain).filter(|start| *start != day)
    {
        problems.add(
            Diagnostic::error("wrong-value", format!("no {grain} starts on {day}"))
                .at(span)
                .hint(format!("the {grain} that it lies in starts on {start}")),
        );
    }
    let (mut expected_members, mut values) = (Vec::new(), Vec::new());
    let mut members: Vec<&Spanned<String>> = Vec::new();
    for (key, value) in written.iter().filter(|(key, _)| key.value != "grain" && key.value != "period_start") {
        let text = value.value.0.clone();
        if NUMBERS.contains(&key.as_str())
            && let Some(text) = &text
            && text.trim().parse::<f64>().is_err()
        {
            problems.add(
                Diagnostic::error("wrong-value", format!("`{text}` is no number"))
                    .at(value.span)
                    .hint("write 25 % as `0.25`, and no value as `null`"),
            );
        }
        if is_column_of_results(&key.value, kpi) {
            values.push((key.value.clone(), text));
        } else {
            members.push(key);
            expected_members.push((key.value.clone(), text));
        }
    }
    if let Some(kpi) = kpi {
        dimensions_exist(context, kpi, &members, written.span, problems);
    }
    if values.is_empty() && problems.count() == before {
        let meant = members.iter().find_map(|member| nearest(member, NUMBERS));
        let diagnostic =
            Diagnostic::error("missing-key", "an expected row says nothing about its value").at(written.span);
        problems.add(match meant {
            Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
            None => diagnostic.hint("such as `value: 0.5`, or `value: null` where there is none"),
        });
    }
    if problems.count() > before {
        return None;
    }
    let (grain, (period_start, _)) = (grain?, period_start?);
    Some(ExpectedRow { grain, period_start, members: expected_members, values })
}

fn grain(word: &Spanned<String>, problems: &mut Problems) -> Option<Grain> {
    let grain = word.parse::<Grain>().ok();
    if grain.is_none() {
        let diagnostic =
            Diagnostic::error("unknown-grain", format!("there is no grain `{}`", word.value)).at(word.span);
        problems.add(match nearest(word, Grain::ALL.map(Grain::name)) {
            Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
            None => diagnostic.hint("the grains are day, week, month, quarter and year"),
        });
    }
    grain
}

/// Whether a key of an expected row is a column of results; all others are dimensions.
fn is_column_of_results(name: &str, kpi: Option<&Kpi>) -> bool {
    let is_stored = |kpi: &Kpi| kpi.stored().iter().any(|(stored, _)| stored == name);
    // Without data nothing is known of the KPI; its aggregates are named like this, and few dimensions are.
    let looks_like_measure = || {
        let starts = ["sum_", "count_", "min_", "max_", "distinct_", "attainment_"];
        name == "count" || starts.iter().any(|start| name.starts_with(start))
    };
    // Some of the reserved words are columns of `kpi_values` only.
    let is_of_all = RESULT_COLUMNS.contains(&name) && !["members", "rows", "overall"].contains(&name);
    is_of_all || kpi.map_or_else(looks_like_measure, is_stored)
}

fn dimensions_exist(
    context: &GivenContext,
    kpi: &Kpi,
    members: &[&Spanned<String>],
    row: Span,
    problems: &mut Problems,
) {
    let ask = |names: &[String]| context.validated.with_dimensions(context.session, kpi, names).map(drop);
    let names: Vec<String> = members.iter().map(|member| member.value.clone()).collect();
    if let Err((message, hint)) = ask(&names) {
        let before = problems.count();
        for member in members {
            let Err((message, hint)) = ask(std::slice::from_ref(&member.value)) else { continue };
            let mut diagnostic = Diagnostic::error("unknown-dimension", message).at(member.span);
            diagnostic.hint = match nearest(member, NUMBERS) {
                Some(near) => Some(format!("did you mean `{near}`?")),
                None => hint,
            };
            problems.add(diagnostic);
        }
        if problems.count() == before {
            let mut diagnostic = Diagnostic::error("unknown-dimension", message).at(row);
            diagnostic.hint = hint;
            problems.add(diagnostic);
        }
    }
    let missing = kpi.required_dimensions.iter().filter(|name| !members.iter().any(|member| member.value == **name));
    let missing: Vec<&str> = missing.map(String::as_str).collect();
    if !missing.is_empty() {
        problems.add(
            Diagnostic::error(
                "missing-key",
                format!("`{}` has no value without {}", kpi.name, list(missing.into_iter())),
            )
            .at(row)
            .hint("say which member the row is for"),
        );
    }
}

/// For each table the columns that definitions mention, as its files name them, with the type that their use tells: those
/// that place rows in time are dates, all others text.
pub(super) type Mentioned = BTreeMap<String, BTreeMap<String, DataType>>;

/// Finds the columns that definitions mention, so that a table of which no file is at hand has them all.
pub(super) fn mentioned(
    language: &Language,
    tables: &BTreeMap<String, &TableSpec>,
    kpis: &BTreeMap<String, (&LoadedDocument, &KpiSpec)>,
) -> Mentioned {
    let mut mentions = Mentions { language, tables, found: Mentioned::new() };
    for (name, spec) in tables {
        let raw = spec.columns.iter().filter(|(_, column)| column.expression.is_none());
        raw.for_each(|(column, _)| mentions.note(name, &[&column.value], None));
        for (_, column) in spec.columns.iter() {
            if let Some(text) = &column.expression {
                let names = mentions.names_in(text);
                let own = mentions.found.entry(name.clone()).or_default();
                for name in names.into_iter().filter_map(|mut parts| parts.pop()) {
                    own.entry(name).or_insert(DataType::Utf8View);
                }
            }
        }
        let key = spec.primary_key.iter().flat_map(|key| key.items());
        let freshness = spec.freshness.as_ref().map(|freshness| freshness.column.clone());
        key.chain(freshness).for_each(|column| mentions.note(name, &[&column.value], None));
        for (_, join) in spec.joins.iter() {
            for (here, there) in join_columns(join) {
                mentions.note(name, &[&here], None);
                mentions.note(&join.table, &[&there], None);
            }
        }
        for (dimension, definition) in spec.dimensions.iter() {
            let span = definition.expression_span.unwrap_or(definition.span);
            mentions.text(name, &Spanned::new(definition.expression.clone(), span), Some(dimension));
        }
        spec.predicates.iter().for_each(|(predicate, text)| mentions.text(name, text, Some(predicate)));
        spec.condition.iter().for_each(|text| mentions.text(name, text, None));
        spec.time.iter().for_each(|text| mentions.times(name, text));
    }
    for (_, spec) in kpis.values() {
        for input in spec.inputs.iter().map(|(_, input)| input) {
            let table = kpis.get(&input.kpi.value).and_then(|(_, kpi)| kpi.from.as_ref());
            table.zip(input.condition.as_ref()).into_iter().for_each(|(table, text)| mentions.text(table, text, None));
        }
        if let Some(table) = &spec.from {
            expressions_over_base(spec).iter().for_each(|text| mentions.text(table, text, None));
            let stock = spec.stock.iter().flat_map(|stock| [Some(&stock.from), stock.to.as_ref()]).flatten();
            spec.time.iter().chain(stock).for_each(|text| mentions.times(table, text));
        }
        if let Some(table) = spec.target.as_ref().and_then(|target| target.table.as_ref()) {
            mentions.found.entry(table.value.clone()).or_default().insert("value".to_owned(), DataType::Float64);
        }
        if let Some(conversion) = &spec.conversion {
            let entity = conversion.entity.rsplit('=').next().unwrap_or_default().trim();
            mentions.note(&conversion.from, &[entity], None);
            let columns = conversion.columns.iter().map(|(_, column)| column);
            let texts = conversion.condition.iter().chain(columns);
            texts.for_each(|text| mentions.text(&conversion.from, text, None));
            conversion.time.iter().for_each(|text| mentions.times(&conversion.from, text));
        }
    }
    mentions.found
}

/// What a KPI says about rows of its table.
fn expressions_over_base(spec: &KpiSpec) -> Vec<Spanned<String>> {
    let texts = spec.condition.iter().cloned();
    let entities = spec.per.iter().flat_map(|per| per.items());
    let columns = spec.columns.iter().map(|(_, column)| column.clone());
    let steps = spec.funnel.iter().flat_map(|steps| steps.iter()).filter_map(|step| step.condition.clone());
    let dimensions = spec.by.iter().flatten().flat_map(|set| set.items());
    let required = spec.required_dimensions.iter().flatten().cloned();
    let entity = spec.conversion.iter().map(|conversion| {
        let here = conversion.entity.split('=').next().unwrap_or_default().trim().to_owned();
        Spanned::new(here, conversion.entity.span)
    });
    // Over entities a value is about what was computed for each of them.
    let value = spec.value.iter().filter(|_| spec.per.is_none()).cloned();
    texts
        .chain(entities)
        .chain(columns)
        .chain(steps)
        .chain(dimensions)
        .chain(required)
        .chain(entity)
        .chain(value)
        .collect()
}

struct Mentions<'a> {
    language: &'a Language<'a>,
    tables: &'a BTreeMap<String, &'a TableSpec>,
    found: Mentioned,
}

impl Mentions<'_> {
    /// Notes a column that places rows in time; of anything else only the names in it.
    fn times(&mut self, table: &str, text: &Spanned<String>) {
        self.text(table, text, None);
        let spec = self.tables.get(table);
        let is_column = spec.is_some_and(|spec| {
            let name = text.value.trim();
            spec.dimensions.get(name).is_none()
                && spec.columns.get(name).is_none_or(|column| column.expression.is_none())
        });
        let from = spec.and_then(|spec| spec.columns.get(text.value.trim())).and_then(|column| column.from.as_ref());
        let name = from.map_or(text.value.trim(), |from| from.value.as_str());
        if is_column && let Some(data_type) = self.found.get_mut(table).and_then(|columns| columns.get_mut(name)) {
            *data_type = DataType::Date32;
        }
    }

    /// Notes the names in an expression over a table; `within` is the definition that it belongs to.
    fn text(&mut self, table: &str, text: &Spanned<String>, within: Option<&str>) {
        for parts in self.names_in(text) {
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            self.note(table, &parts, within);
        }
    }

    fn names_in(&self, text: &Spanned<String>) -> Vec<Vec<String>> {
        let mut names = Vec::new();
        let words = |parts: &[Ident]| parts.iter().map(|part| part.value.clone()).collect();
        if let Ok(mut parsed) = self.language.parse(text) {
            // Nothing is changed and no visit fails.
            let _ = walk(&mut parsed.sql, Order::WholeFirst, &mut |sql| {
                match sql {
                    SqlExpr::Identifier(name) => names.push(words(std::slice::from_ref(name))),
                    SqlExpr::CompoundIdentifier(parts) => names.push(words(parts)),
                    _ => {}
                }
                Ok(())
            });
        }
        names
    }

    fn note(&mut self, table: &str, parts: &[&str], within: Option<&str>) {
        let Some(spec) = self.tables.get(table) else { return };
        match parts {
            [] => {}
            [name] => {
                let is_defined = spec.dimensions.get(name).is_some() || spec.predicates.get(name).is_some();
                if is_defined && within != Some(*name) {
                    return;
                }
                let column = spec.columns.get(name);
                if column.is_none_or(|column| column.expression.is_none()) {
                    let raw = column.and_then(|column| column.from.as_ref()).map_or(*name, |from| from.value.as_str());
                    let columns = self.found.entry(table.to_owned()).or_default();
                    columns.entry(raw.to_owned()).or_insert(DataType::Utf8View);
                }
            }
            [first, rest @ ..] => match spec.joins.get(first) {
                Some(join) => self.note(&join.table.value, rest, None),
                None if *first == table => self.note(table, rest, within),
                None => {}
            },
        }
    }
}
