//! Tests of the data: those of columns, of rows and of declared keys, and how old the data may be.
//!
//! They are checked like every other expression; nothing is counted here.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Column, ScalarValue, TableReference};
use datafusion::logical_expr::{Expr, lit};

use super::expression::{Unresolved, list, resolve};
use super::joins::Family;
use super::kpis::Context;
use super::lacking::{needs, reason};
use super::reads::of_test;
use super::tables::{State, unknown_column};
use super::{Problems, typing};
use crate::diagnostic::{Diagnostic, Sources, Span, nearest};
use crate::model::{DataTest, Freshness, JoinPath, Place, Rule, SkippedTest, Table, TableTests, TestSeverity};
use crate::spec::{ColumnTestSpec, FreshnessSpec, Literal, RowTestSpec, Spanned, TableSpec};

/// The tests of every table that has some.
pub(super) fn table_tests(context: &Context, problems: &mut Problems) -> BTreeMap<String, TableTests> {
    let mut found = BTreeMap::new();
    for (name, spec) in context.table_specs {
        let mut tests = Collected { context, spec, tests: TableTests::default() };
        tests.key();
        for (column, definition) in spec.columns.iter() {
            for test in definition.tests.iter().flatten() {
                tests.column(column, test, problems);
            }
        }
        for test in spec.tests.iter().flatten() {
            tests.rows(test, problems);
        }
        if let Some(spec) = &spec.freshness {
            tests.freshness(spec, problems);
        }
        let TableTests { tests: written, freshness, skipped } = &tests.tests;
        if !written.is_empty() || freshness.is_some() || !skipped.is_empty() {
            found.insert(name.clone(), tests.tests);
        }
    }
    found
}

/// The place of a test, for people.
pub(super) fn place(sources: &Sources, span: Span) -> Place {
    Place { file: sources.get(span.file).path.clone(), line: sources.position(span.file, span.start).line }
}

pub(super) fn severity(written: &Option<Spanned<TestSeverity>>) -> TestSeverity {
    written.as_ref().map_or(TestSeverity::Error, |severity| severity.value)
}

/// The tests of one table while they are collected.
struct Collected<'a> {
    context: &'a Context<'a>,
    spec: &'a TableSpec,
    tests: TableTests,
}

/// A part of a test with what it needs.
type Planned<T> = Result<(T, Needs), Unplanned>;

/// What an expression needs of the plan below it.
#[derive(Default)]
struct Needs {
    joins: BTreeSet<JoinPath>,
    time: Option<(Expr, DataType)>,
}

impl Needs {
    fn and(mut self, further: Needs) -> Needs {
        self.joins.extend(further.joins);
        Needs { joins: self.joins, time: self.time.or(further.time) }
    }
}

/// Why a test cannot run.
enum Unplanned {
    /// It is reported, here or where the mistake is.
    Mistake,
    /// Some table has no data.
    Absent(String),
}

impl Collected<'_> {
    fn table(&self) -> &str {
        &self.spec.table.value
    }

    /// Whether something of the definition was taken out, with a word about it.
    fn is_in_part(&self) -> bool {
        matches!(self.context.tables.states.get(self.table()), Some(State::Broken))
    }

    /// What a declared primary key promises.
    fn key(&mut self) {
        let Some(key) = &self.spec.primary_key else { return };
        let names: Vec<String> = key.items().into_iter().map(|name| name.value).collect();
        let columns: Vec<Expr> = names.iter().map(|name| self.own_column(name)).collect();
        let names = names.join(", ");
        let is_null = columns.iter().cloned().map(Expr::is_null).reduce(Expr::or).unwrap_or_else(|| lit(false));
        let place = place(self.context.language.sources, key.span);
        // What is written for the column itself need not be told twice.
        let is_written = |asks: &dyn Fn(&ColumnTestSpec) -> Option<bool>| {
            let tests = self.spec.columns.get(&names).into_iter().flat_map(|column| column.tests.iter().flatten());
            tests.into_iter().any(|test| asks(test).is_some() && test.condition.is_none())
        };
        let not_null = (format!("the key `{names}` is not null"), Rule::Rows { fails: is_null });
        let unique = (format!("the key `{names}` is unique"), Rule::Unique { columns, filter: None });
        let rules = [(not_null, is_written(&|test| test.not_null)), (unique, is_written(&|test| test.unique))];
        for ((name, rule), _) in rules.into_iter().filter(|(_, is_written)| !is_written) {
            self.add(name, place.clone(), TestSeverity::Error, Ok((rule, Needs::default())), true);
        }
    }

    fn column(&mut self, column: &Spanned<String>, test: &Spanned<ColumnTestSpec>, problems: &mut Problems) {
        let before = problems.count();
        let Some((name, kind)) = column_test(column, test, problems) else {
            // A key that was taken out with its own mistake needs no word about its absence.
            if problems.count() == before && !self.is_in_part() {
                problems.add(
                    Diagnostic::error("missing-key", "a test of a column says what it tests")
                        .at(test.span)
                        .hint("with `not_null`, `unique`, `accepted`, `min`, `max` or `relationship`"),
                );
            }
            return;
        };
        let planned = self.column_rule(column, kind, problems).and_then(|rule| {
            let Some(text) = &test.condition else { return Ok((rule, Needs::default())) };
            let (filter, needs) = self.condition(text, problems)?;
            Ok((rule.only_where(filter), needs))
        });
        let name = with_filter(name, &test.condition);
        self.add(name, place(self.context.language.sources, test.span), severity(&test.severity), planned, false);
    }

    /// The rule of a column's test, without its filter.
    fn column_rule(
        &self,
        column: &Spanned<String>,
        test: ColumnTest,
        problems: &mut Problems,
    ) -> Result<Rule, Unplanned> {
        let table = self.ready(self.table())?;
        let value = self.own_column(column);
        let field = table.schema.field_with_name(column).map_err(|_| Unplanned::Mistake)?;
        let data_type = field.data_type();
        let fails = match test {
            ColumnTest::NotNull => value.is_null(),
            ColumnTest::Unique => return Ok(Rule::Unique { columns: vec![value], filter: None }),
            ColumnTest::Accepted(words) => {
                let words = words.iter().map(|word| literal(word, data_type, problems)).collect::<Vec<_>>();
                let words = words.into_iter().collect::<Option<Vec<Expr>>>().ok_or(Unplanned::Mistake)?;
                value.in_list(words, true)
            }
            ColumnTest::Range { min, max } => {
                let bounds = self.range(column, data_type, min, max, problems)?;
                let (min, max) = bounds;
                let below = min.map(|min| value.clone().lt(min));
                let above = max.map(|max| value.clone().gt(max));
                below.into_iter().chain(above).reduce(Expr::or).ok_or(Unplanned::Mistake)?
            }
            ColumnTest::Relationship(target) => return self.relationship(column, value, data_type, target, problems),
        };
        Ok(Rule::Rows { fails })
    }

    fn range(
        &self,
        column: &Spanned<String>,
        data_type: &DataType,
        min: Option<&Spanned<Literal>>,
        max: Option<&Spanned<Literal>>,
        problems: &mut Problems,
    ) -> Result<(Option<Expr>, Option<Expr>), Unplanned> {
        let has_order = data_type.is_numeric()
            || matches!(data_type, DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _));
        if !has_order && let Some(bound) = min.or(max) {
            let found = typing::type_name(data_type);
            problems.add(
                Diagnostic::error(
                    "wrong-type",
                    format!("`min` and `max` go with numbers, dates and timestamps, but `{}` is {found}", column.value),
                )
                .at(bound.span)
                .hint("give the column a `type`, or list the values with `accepted`"),
            );
            return Err(Unplanned::Mistake);
        }
        let before = problems.count();
        let mut bound = |bound: Option<&Spanned<Literal>>| bound.and_then(|bound| literal(bound, data_type, problems));
        let (least, greatest) = (bound(min), bound(max));
        if let (Some(Expr::Literal(least, _)), Some(Expr::Literal(greatest, _)), Some(max)) = (&least, &greatest, max)
            && least > greatest
        {
            problems.add(
                Diagnostic::error("wrong-value", "`max` is less than `min`, so every value would fail")
                    .at(max.span)
                    .hint("write the lesser one as `min`"),
            );
        }
        if problems.count() > before { Err(Unplanned::Mistake) } else { Ok((least, greatest)) }
    }

    fn relationship(
        &self,
        column: &Spanned<String>,
        value: Expr,
        data_type: &DataType,
        target: &Spanned<String>,
        problems: &mut Problems,
    ) -> Result<Rule, Unplanned> {
        let (table, named) = match target.split_once('.') {
            Some((table, column)) => (table.trim(), Some(column.trim())),
            None => (target.trim(), None),
        };
        let Some(spec) = self.context.table_specs.get(table) else {
            if !self.context.tables.states.contains_key(table) {
                problems.add(unknown_table(self.context.table_specs, &Spanned::new(table.to_owned(), target.span)));
            }
            return Err(Unplanned::Mistake);
        };
        let key = spec.primary_key.as_ref().map(|key| key.items()).unwrap_or_default();
        let key = match (named, key.as_slice()) {
            (Some(named), _) => named.to_owned(),
            (None, [key]) => key.value.clone(),
            (None, _) => {
                problems.add(
                    Diagnostic::error("missing-key", format!("`{table}` has no primary key of one column"))
                        .at(target.span)
                        .hint(format!("name the column that is meant: `{table}.{}`", column.value)),
                );
                return Err(Unplanned::Mistake);
            }
        };
        let other = self.ready(table)?;
        let Ok(field) = other.schema.field_with_name(&key) else {
            let known = other.schema.fields().iter().map(|field| field.name().as_str());
            problems.add(unknown_column(&Spanned::new(key, target.span), table, known));
            return Err(Unplanned::Mistake);
        };
        let families = (Family::of(data_type), Family::of(field.data_type()));
        if !matches!(families, (Some(here), Some(there)) if here == there) {
            let (here, there) = (typing::type_name(data_type), typing::type_name(field.data_type()));
            problems.add(
                Diagnostic::error(
                    "wrong-type",
                    format!("`{}` is {here} and `{table}.{key}` is {there}, which are never the same", column.value),
                )
                .at(target.span)
                .hint("give both the same `type` under `columns`, such as `integer` or `text`"),
            );
            return Err(Unplanned::Mistake);
        }
        Ok(Rule::Relationship { value, table: table.to_owned(), column: key, filter: None })
    }

    fn rows(&mut self, test: &Spanned<RowTestSpec>, problems: &mut Problems) {
        let written = match (&test.condition, &test.unique) {
            (Some(condition), None) => format!("`{}`", one_line(condition)),
            (None, Some(unique)) => {
                let names: Vec<String> = unique.items().into_iter().map(|name| name.value).collect();
                format!("`{}` is unique", names.join(", "))
            }
            (None, None) if self.is_in_part() => return,
            (None, None) => {
                problems.add(
                    Diagnostic::error(
                        "missing-key",
                        "a test of a table has a `condition`, or is about what is `unique`",
                    )
                    .at(test.span)
                    .hint("such as `{condition: paid_at >= ordered_at}` or `{unique: [account_id, day]}`"),
                );
                return;
            }
            (Some(_), Some(unique)) => {
                problems.add(
                    Diagnostic::error(
                        "wrong-value",
                        "one test has a `condition` or is about what is `unique`, not both",
                    )
                    .at(unique.span)
                    .hint("write two tests"),
                );
                return;
            }
        };
        let planned = self.rows_rule(test, problems).and_then(|(rule, needs)| {
            let Some(text) = &test.filter else { return Ok((rule, needs)) };
            let (filter, further) = self.condition(text, problems)?;
            Ok((rule.only_where(filter), needs.and(further)))
        });
        let name = match &test.name {
            Some(name) => name.value.trim().to_owned(),
            None => with_filter(written, &test.filter),
        };
        self.add(name, place(self.context.language.sources, test.span), severity(&test.severity), planned, false);
    }

    fn rows_rule(&self, test: &RowTestSpec, problems: &mut Problems) -> Planned<Rule> {
        if let Some(condition) = &test.condition {
            let (condition, needs) = self.condition(condition, problems)?;
            return Ok((Rule::Rows { fails: condition.is_false() }, needs));
        }
        let (mut columns, mut needs) = (Vec::new(), Needs::default());
        for item in test.unique.iter().flat_map(|unique| unique.items()) {
            let ((column, _), further) = self.expression(&item, problems)?;
            columns.push(column);
            needs = needs.and(further);
        }
        Ok((Rule::Unique { columns, filter: None }, needs))
    }

    fn freshness(&mut self, spec: &Spanned<FreshnessSpec>, problems: &mut Problems) {
        let Some(freshness) = freshness(self.context, spec, problems) else { return };
        match self.ready(self.table()) {
            // Without that column nobody can tell, and nobody asks.
            Ok(table) if table.freshness.is_none() || table.lacks.files.is_some() => {}
            Ok(_) => self.tests.freshness = Some(freshness),
            Err(Unplanned::Absent(reason)) => {
                let name = format!("how old `{}` is", freshness.column);
                self.tests.skipped.push(SkippedTest { name, place: freshness.place, reason });
            }
            Err(Unplanned::Mistake) => {}
        }
    }

    fn condition(&self, text: &Spanned<String>, problems: &mut Problems) -> Planned<Expr> {
        let ((condition, data_type), needs) = self.expression(text, problems)?;
        match problems.is_condition(&data_type, text) {
            true => Ok((condition, needs)),
            false => Err(Unplanned::Mistake),
        }
    }

    /// An expression over rows of the table, with its type.
    fn expression(&self, text: &Spanned<String>, problems: &mut Problems) -> Planned<(Expr, DataType)> {
        let context = self.context;
        let parsed = problems.take(context.language.parse(text)).ok_or(Unplanned::Mistake)?;
        if let Some(diagnostic) = context.language.aggregate_in_row(&parsed, "a test of rows") {
            problems.add(diagnostic);
            return Err(Unplanned::Mistake);
        }
        self.ready(self.table())?;
        let resolved = match resolve(context.language, &context.tables.namespace, self.table(), &parsed) {
            Err(Unresolved::Missing { table }) => return Err(self.unready(&table)),
            other => problems.resolved(other).ok_or(Unplanned::Mistake)?,
        };
        let schema = context.tables.joined_schema(self.table(), &resolved.joins).ok_or(Unplanned::Mistake)?;
        let typed = typing::plan(context.state, resolved.sql, &schema);
        let typed = problems.planned(typed, text.span).ok_or(Unplanned::Mistake)?;
        let needs = Needs { joins: resolved.joins, time: None };
        if !needs.joins.iter().any(|path| context.tables.is_history(self.table(), path)) {
            return Ok((typed, needs));
        }
        let Some(time) = &self.spec.time else {
            problems.add(
                Diagnostic::error(
                    "missing-key",
                    format!("a history is read at a row's time, and table `{}` has no `time`", self.table()),
                )
                .at(text.span)
                .hint("name the date or timestamp that places a row in time, such as `time: created_at`, in the table"),
            );
            return Err(Unplanned::Mistake);
        };
        let time = self.time(time, problems)?;
        Ok((typed, needs.and(time)))
    }

    /// The table's own time, for what is read at the time of a row. That it is one and needs no history itself is checked
    /// with the KPIs; here it must only be readable.
    fn time(&self, text: &Spanned<String>, problems: &mut Problems) -> Result<Needs, Unplanned> {
        let context = self.context;
        let parsed = problems.take(context.language.parse(text)).ok_or(Unplanned::Mistake)?;
        let resolved = match resolve(context.language, &context.tables.namespace, self.table(), &parsed) {
            Err(Unresolved::Missing { table }) => return Err(self.unready(&table)),
            other => problems.resolved(other).ok_or(Unplanned::Mistake)?,
        };
        if let Some(path) = resolved.joins.iter().find(|path| context.tables.is_history(self.table(), path)) {
            let message =
                format!("the history `{}` is read at the time of a row, so it cannot say that time", path.join("."));
            problems.add(
                Diagnostic::error("history-in-time", message)
                    .at(text.span)
                    .hint(format!("name a date or timestamp of `{}`, or one behind another join", self.table())),
            );
            return Err(Unplanned::Mistake);
        }
        let schema = context.tables.joined_schema(self.table(), &resolved.joins).ok_or(Unplanned::Mistake)?;
        let typed = typing::plan(context.state, resolved.sql, &schema);
        let (time, data_type) = problems.planned(typed, text.span).ok_or(Unplanned::Mistake)?;
        if !matches!(data_type, DataType::Date32 | DataType::Timestamp(_, _)) {
            let found = typing::type_name(&data_type);
            problems.add(
                Diagnostic::error(
                    "wrong-type",
                    format!("`time` is a date or timestamp, but `{}` is {found}", text.value),
                )
                .at(text.span)
                .hint(format!("give it a type: `columns: {{{}: {{type: date}}}}`", text.value)),
            );
            return Err(Unplanned::Mistake);
        }
        Ok(Needs { joins: resolved.joins, time: Some((time, data_type)) })
    }

    fn own_column(&self, name: &str) -> Expr {
        Expr::Column(Column::new(Some(TableReference::bare(self.table())), name))
    }

    fn ready(&self, name: &str) -> Result<&Table, Unplanned> {
        self.context.tables.ready(name).map(AsRef::as_ref).ok_or_else(|| self.unready(name))
    }

    /// Why a table that is not ready is not.
    fn unready(&self, name: &str) -> Unplanned {
        match self.context.tables.states.get(name) {
            Some(State::Absent(reason)) => Unplanned::Absent(format!("table `{name}` has no data: {reason}")),
            Some(State::Ready(_) | State::Broken) | None => Unplanned::Mistake,
        }
    }

    fn add(&mut self, name: String, place: Place, severity: TestSeverity, planned: Planned<Rule>, is_of_key: bool) {
        // A key that nobody wrote a test for looks at the table only if there is one.
        let planned = match self.ready(self.table()) {
            Err(Unplanned::Absent(reason)) => Err(Unplanned::Absent(reason)),
            Err(Unplanned::Mistake) => Err(Unplanned::Mistake),
            Ok(_) => planned,
        };
        match planned {
            Ok((rule, Needs { joins, time })) => {
                let test = DataTest { name, place, severity, rule, joins, time, is_of_key };
                let lacking = needs(self.context.tables, &of_test(self.context.tables, self.table(), &test));
                match lacking.is_empty() {
                    true => self.tests.tests.push(test),
                    false => {
                        let reason = reason(self.context.tables, &lacking);
                        self.tests.skipped.push(SkippedTest { name: test.name, place: test.place, reason });
                    }
                }
            }
            Err(Unplanned::Absent(reason)) => self.tests.skipped.push(SkippedTest { name, place, reason }),
            Err(Unplanned::Mistake) => {}
        }
    }
}

impl Rule {
    /// The same rule for the rows that a filter holds for.
    fn only_where(self, wanted: Expr) -> Rule {
        match self {
            Rule::Rows { fails } => Rule::Rows { fails: wanted.and(fails) },
            Rule::Unique { columns, .. } => Rule::Unique { columns, filter: Some(wanted) },
            Rule::Relationship { value, table, column, .. } => {
                Rule::Relationship { value, table, column, filter: Some(wanted) }
            }
        }
    }
}

/// What one entry of a column's `tests` asks.
enum ColumnTest<'a> {
    NotNull,
    Unique,
    Accepted(&'a [Spanned<Literal>]),
    Range { min: Option<&'a Spanned<Literal>>, max: Option<&'a Spanned<Literal>> },
    Relationship(&'a Spanned<String>),
}

/// What an entry asks, and in words; nothing where it asks nothing or has a mistake.
fn column_test<'a>(
    column: &Spanned<String>,
    test: &'a Spanned<ColumnTestSpec>,
    problems: &mut Problems,
) -> Option<(String, ColumnTest<'a>)> {
    let column = &column.value;
    let ColumnTestSpec { not_null, unique, accepted, min, max, relationship, .. } = &test.value;
    let mut kinds = Vec::new();
    for (key, value) in [("not_null", not_null), ("unique", unique)] {
        if *value == Some(false) {
            problems.add(
                Diagnostic::error("wrong-value", format!("`{key}: false` tests nothing"))
                    .at(test.span)
                    .hint("leave the test out"),
            );
            return None;
        }
    }
    if not_null.is_some() {
        kinds.push((format!("`{column}` is not null"), ColumnTest::NotNull));
    }
    if unique.is_some() {
        kinds.push((format!("`{column}` is unique"), ColumnTest::Unique));
    }
    if let Some(accepted) = accepted {
        if accepted.is_empty() {
            problems.add(
                Diagnostic::error("wrong-value", "`accepted` is empty, so every value would fail")
                    .at(accepted.span)
                    .hint("list the values: `accepted: [paid, open]`"),
            );
            return None;
        }
        let words: Vec<&str> = accepted.iter().take(5).map(|word| word.value.0.as_str()).collect();
        let more = if accepted.len() > words.len() { ", ..." } else { "" };
        kinds.push((format!("`{column}` is one of {}{more}", words.join(", ")), ColumnTest::Accepted(accepted)));
    }
    let words = match (min, max) {
        (Some(min), Some(max)) => Some(format!("`{column}` is from {} to {}", min.0, max.0)),
        (Some(min), None) => Some(format!("`{column}` is at least {}", min.0)),
        (None, Some(max)) => Some(format!("`{column}` is at most {}", max.0)),
        (None, None) => None,
    };
    kinds.extend(words.map(|words| (words, ColumnTest::Range { min: min.as_ref(), max: max.as_ref() })));
    if let Some(target) = relationship {
        kinds.push((format!("`{column}` is in `{}`", target.value), ColumnTest::Relationship(target)));
    }
    let several = kinds.len() > 1;
    match kinds.pop() {
        Some(_) if several => problems.add(
            Diagnostic::error("wrong-value", "one entry of `tests` tests one thing")
                .at(test.span)
                .hint("write an entry for each: `tests: [not_null, {min: 0}]`"),
        ),
        Some(kind) => return Some(kind),
        None => {}
    }
    None
}

/// A word of a test in the type of the column that it is compared with.
fn literal(word: &Spanned<Literal>, data_type: &DataType, problems: &mut Problems) -> Option<Expr> {
    let data_type = match data_type {
        DataType::Dictionary(_, values) => values,
        other => other,
    };
    match ScalarValue::from(word.value.0.as_str()).cast_to(data_type) {
        Ok(value) => Some(lit(value)),
        Err(_) => {
            let name = typing::type_name(data_type);
            problems.add(
                Diagnostic::error("wrong-value", format!("`{}` is no {name}, as the column is", word.value.0))
                    .at(word.span)
                    .hint(format!("write a value of type {name}, or give the column another `type`")),
            );
            None
        }
    }
}

fn with_filter(name: String, filter: &Option<Spanned<String>>) -> String {
    match filter {
        Some(filter) => format!("{name} where `{}`", one_line(filter)),
        None => name,
    }
}

/// A text of several lines in one.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(super) fn unknown_table(tables: &BTreeMap<String, &TableSpec>, name: &Spanned<String>) -> Diagnostic {
    let known = || tables.keys().map(String::as_str);
    let diagnostic = Diagnostic::error("unknown-table", format!("there is no table `{}`", name.value)).at(name.span);
    match nearest(name, known()) {
        Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
        None => diagnostic.hint(format!("the tables are {}", list(known()))),
    }
}

fn freshness(context: &Context, spec: &Spanned<FreshnessSpec>, problems: &mut Problems) -> Option<Freshness> {
    let before = problems.count();
    let mut age = |text: &Option<Spanned<String>>| {
        let text = text.as_ref()?;
        let days = days(text);
        if days.is_none() {
            problems.add(no_length_of_days(text));
        }
        days.and_then(|days| i64::try_from(days).ok())
    };
    let (warn, error) = (age(&spec.warn), age(&spec.error));
    if let (Some(warn), Some(error), Some(text)) = (warn, error, &spec.error)
        && warn > error
    {
        problems.add(
            Diagnostic::error("wrong-value", "data is late before it is worth a warning")
                .at(text.span)
                .hint("`error` is at least as long as `warn`"),
        );
    }
    let is_asked = warn.is_some() || error.is_some();
    (problems.count() == before && is_asked).then(|| Freshness {
        column: spec.column.value.clone(),
        warn,
        error,
        place: place(context.language.sources, spec.span),
    })
}

pub(super) fn no_length_of_days(text: &Spanned<String>) -> Diagnostic {
    Diagnostic::error("wrong-value", format!("`{}` is no number of days", text.value))
        .at(text.span)
        .hint("write whole days or weeks, such as `1 day` or `2 weeks`")
}

/// `3 days` or `2 weeks`.
pub(super) fn days(text: &str) -> Option<u64> {
    let (number, unit) = text.trim().split_once(' ')?;
    let number: u64 = number.parse().ok().filter(|number| *number < 100_000)?;
    match unit.trim() {
        "day" | "days" => Some(number),
        "week" | "weeks" => Some(number * 7),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_a_whole_number_of_days() {
        assert_eq!(days("1 day"), Some(1));
        assert_eq!(days(" 2  weeks "), Some(14));
        assert_eq!(days("36 hours"), None);
        assert_eq!(days("-1 days"), None);
        assert_eq!(days("day"), None);
    }
}
