//! From `table:` documents to tables with data: files opened, columns cleaned, the standard filter applied, queries
//! planned, joins proven many-to-one by their declared keys.
//!
//! A table whose files are absent is no mistake: what stands on it is skipped. Whether a declared key is unique, or a history
//! has one row at a time, is not decided here; a run looks at the data.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DataFusionError, TableReference};
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::functions::expr_fn::{btrim, character_length, concat, starts_with, to_date, to_timestamp_micros};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Volatility, cast, lit, when};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, Statement as SqlStatement, visit_expressions_mut};

use super::expression::{
    Language, Names, Namespace, UNREPEATABLE, Unresolved, list, resolve, resolve_definition, write_zone,
};
use super::given::{Given, Mentioned};
use super::{Problems, typing};
use crate::catalog::{self, CsvOptions, Format, Source, SourceError, SourceOptions};
use crate::diagnostic::{Diagnostic, Span, nearest};
use crate::functions::{instant_of, local_date};
use crate::model::{Join, JoinPath, Origin, Table, TypedText, Validity, join_alias};
use crate::spec::{ColumnSpec, JoinSpec, Spanned, TableSpec, line_column_to_char, source_span};
use crate::time::Grain;

/// What became of a `table:` document.
#[derive(Debug, Clone)]
pub(super) enum State {
    Ready(Arc<Table>),
    /// There is no data, and why.
    Absent(String),
    /// It has mistakes, which are reported.
    Broken,
}

/// All tables of the project by name, and the names that they offer to expressions.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub states: BTreeMap<String, State>,
    pub namespace: Namespace,
    /// The period that a row stands for, of tables that say so.
    pub grains: BTreeMap<String, Grain>,
}

impl Tables {
    pub fn ready(&self, name: &str) -> Option<&Arc<Table>> {
        match self.states.get(name) {
            Some(State::Ready(table)) => Some(table),
            Some(State::Absent(_) | State::Broken) | None => None,
        }
    }

    /// The schema of a table's rows with those of the joins behind them, each qualified by its name in queries.
    pub fn joined_schema(&self, table: &str, joins: &BTreeSet<JoinPath>) -> Option<DFSchema> {
        let base = self.ready(table)?;
        let mut schema = qualified(table, &base.schema)?;
        for path in joins {
            let target = self.table_at(table, path)?;
            schema = schema.join(&qualified(&join_alias(path), &target.schema)?).ok()?;
        }
        Some(schema)
    }

    /// Whether a join path ends in a history.
    pub fn is_history(&self, table: &str, path: &[String]) -> bool {
        let join = path.split_last().and_then(|(last, before)| self.table_at(table, before)?.joins.get(last));
        join.is_some_and(|join| join.valid.is_some())
    }

    /// The table at the end of a join path.
    pub fn table_at(&self, table: &str, path: &[String]) -> Option<&Arc<Table>> {
        path.iter().try_fold(self.ready(table)?, |table, join| self.ready(&table.joins.get(join)?.table))
    }
}

fn qualified(name: &str, schema: &SchemaRef) -> Option<DFSchema> {
    DFSchema::try_from_qualified_schema(TableReference::bare(name), schema).ok()
}

/// The `table:` documents of a project.
pub(super) struct Specs<'a> {
    pub tables: &'a BTreeMap<String, &'a TableSpec>,
    /// Tables whose mistakes are reported already.
    pub broken: &'a BTreeSet<String>,
    /// Rows in the place of files, in a test, with the columns that definitions mention.
    pub given: Option<(&'a Given, Mentioned)>,
}

/// Opens and checks every table.
pub(super) async fn tables(
    context: &SessionContext,
    language: &Language<'_>,
    data: &std::path::Path,
    all: &Specs<'_>,
    problems: &mut Problems,
) -> Tables {
    let specs = all.tables;
    let mut tables = Tables::default();
    for name in all.broken {
        tables.states.insert(name.clone(), State::Broken);
    }
    for (name, spec) in specs {
        let Some(written) = &spec.grain else { continue };
        match written.parse::<Grain>() {
            Ok(grain) => drop(tables.grains.insert(name.clone(), grain)),
            Err(()) => problems.add(super::kpis::unknown_grain(written)),
        }
    }
    let is_sound = |name: &String| !all.broken.contains(name);
    for (name, spec) in specs.iter().filter(|(name, spec)| spec.query.is_none() && is_sound(name)) {
        let state = from_files(context, language, data, all, spec, problems).await;
        register(context, &mut tables, name, state);
    }
    for (name, spec) in
        in_dependency_order(context, language, specs, problems).into_iter().filter(|(name, _)| is_sound(name))
    {
        let state = from_query(context, language, &tables, all, spec, problems).await;
        register(context, &mut tables, &name, state);
    }
    tables.namespace = namespace(language, &tables, specs, problems);
    check_definitions(context, language, &tables, specs, problems);
    let joins: Vec<(String, BTreeMap<String, Join>)> =
        specs.iter().map(|(name, spec)| (name.clone(), joins(&tables, specs, spec, problems))).collect();
    for (name, joins) in joins {
        if let Some(State::Ready(table)) = tables.states.get_mut(&name) {
            Arc::make_mut(table).joins = joins;
        }
    }
    tables
}

fn register(context: &SessionContext, tables: &mut Tables, name: &str, state: State) {
    if let State::Ready(table) = &state {
        let view = ViewTable::new(table.plan.as_ref().clone(), None);
        // A name of the project replaces nothing of DataFusion's, and each name comes once.
        let registered = context.register_table(TableReference::bare(name), Arc::new(view));
        debug_assert!(registered.is_ok());
    }
    tables.states.insert(name.to_owned(), state);
}

async fn from_files(
    context: &SessionContext,
    language: &Language<'_>,
    data: &std::path::Path,
    all: &Specs<'_>,
    spec: &TableSpec,
    problems: &mut Problems,
) -> State {
    let Some(source) = &spec.source else {
        problems.add(
            Diagnostic::error("missing-key", format!("table `{}` has no `source`", spec.table.value))
                .at(spec.table.span)
                .hint(format!("write where its files are, such as `source: {}.csv`", spec.table.value)),
        );
        return State::Broken;
    };
    let Some(options) = source_options(spec, problems) else { return State::Broken };
    let opened = match &all.given {
        Some((given, mentioned)) => given.source(spec, mentioned),
        None => catalog::open(context, data, source, &options).await,
    };
    match opened {
        Err(SourceError::Absent(reason)) => State::Absent(reason),
        Err(SourceError::Unreadable { message, hint }) => {
            let mut diagnostic = Diagnostic::error("unreadable-source", message).at(source.span);
            diagnostic.hint = hint;
            problems.add(diagnostic);
            State::Broken
        }
        Ok(opened) => {
            let provider = provider_as_source(opened.provider.clone());
            let name = format!("files of {}", spec.table.value);
            let Ok(raw) = LogicalPlanBuilder::scan(TableReference::bare(name), provider, None) else {
                return State::Broken;
            };
            let origin = Origin::Files {
                source: source.value.clone(),
                opened: Arc::new(opened.clone()),
                csv: options.csv.clone(),
                texts: typed_texts(spec, &opened),
            };
            finish(context, language, spec, raw, Some((&opened, &options.csv)), origin, problems)
        }
    }
}

async fn from_query(
    context: &SessionContext,
    language: &Language<'_>,
    tables: &Tables,
    all: &Specs<'_>,
    spec: &TableSpec,
    problems: &mut Problems,
) -> State {
    let specs = all.tables;
    let Some(query) = &spec.query else { return State::Broken };
    let Some(statement) = parse_query(language, query, problems) else { return State::Broken };
    let used = used_tables(context, &statement);
    if let Some((given, mentioned)) = &all.given
        && given.rows.contains_key(&spec.table.value)
    {
        // The rows that it would give are here; what it reads tells their types, if that is at hand.
        let planned = context.state().statement_to_plan(statement).await.ok();
        let columns = planned.as_ref().map(|plan| plan.schema().as_arrow());
        let Some(source) = given.in_place_of_query(spec, columns, mentioned) else { return State::Broken };
        let name = TableReference::bare(format!("rows of {}", spec.table.value));
        let raw = LogicalPlanBuilder::scan(name, provider_as_source(source.provider.clone()), None);
        let Some(raw) = problems.planned(raw, query.span) else { return State::Broken };
        let (origin, csv) = (Origin::Query { tables: used }, CsvOptions::default());
        let texts = (source.format == Format::Csv).then_some((&source, &csv));
        return finish(context, language, spec, raw, texts, origin, problems);
    }
    for name in &used {
        match tables.states.get(name) {
            Some(State::Ready(_)) => {}
            Some(State::Absent(reason)) => return State::Absent(format!("it reads `{name}`, and {reason}")),
            Some(State::Broken) => return State::Broken,
            None if specs.contains_key(name) => return State::Broken,
            None => {
                let diagnostic = Diagnostic::error("unknown-table", format!("there is no table `{name}`"))
                    .at(find_word(language, query, name));
                problems.add(match nearest(name, specs.keys().map(String::as_str)) {
                    Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
                    None => diagnostic.hint(format!("the tables are {}", list(specs.keys().map(String::as_str)))),
                });
                return State::Broken;
            }
        }
    }
    match context.state().statement_to_plan(statement).await {
        Ok(plan) => {
            if let Some(function) = unrepeatable(&plan) {
                problems.add(
                    Diagnostic::error("not-repeatable", format!("`{function}` gives another answer at each run"))
                        .at(find_word(language, query, &function))
                        .hint("a KPI must be computed again with the same result; use a column instead"),
                );
                return State::Broken;
            }
            let origin = Origin::Query { tables: used };
            finish(context, language, spec, LogicalPlanBuilder::from(plan), None, origin, problems)
        }
        Err(error) => {
            problems.add(invalid_query(language, query, &error));
            State::Broken
        }
    }
}

/// What DataFusion does not like about a query, at its place.
pub(super) fn invalid_query(language: &Language, query: &Spanned<String>, error: &DataFusionError) -> Diagnostic {
    let span = error.diagnostic().and_then(|diagnostic| diagnostic.span).map(|span| {
        let char_at = |location: datafusion::common::Location| {
            line_column_to_char(&query.value, location.line as usize, location.column as usize)
        };
        let text = &language.sources.get(query.span.file).text;
        let (start, end) = (char_at(span.start), char_at(span.end));
        source_span(text, query.span, &query.value, start, end.max(start + 1))
    });
    Diagnostic::error("invalid-query", format!("the query is not valid: {}", typing::message(error)))
        .at(span.unwrap_or(query.span))
}

/// A function in a query that answers differently at each run.
pub(super) fn unrepeatable(plan: &LogicalPlan) -> Option<String> {
    let mut found = None;
    let visited = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| match part {
                Expr::ScalarFunction(call)
                    if UNREPEATABLE.contains(&call.name())
                        || call.func.signature().volatility == Volatility::Volatile =>
                {
                    found = Some(call.name().to_owned());
                    Ok(TreeNodeRecursion::Stop)
                }
                _ => Ok(TreeNodeRecursion::Continue),
            })
        })
    });
    visited.ok().and(found)
}

pub(super) fn parse_query(language: &Language, query: &Spanned<String>, problems: &mut Problems) -> Option<Statement> {
    let mut statements = problems.take(language.parse_statements(query))?;
    match (statements.pop(), statements.is_empty()) {
        (Some(mut sql @ SqlStatement::Query(_)), true) => {
            let _: ControlFlow<()> = visit_expressions_mut(&mut sql, |expression| {
                if let SqlExpr::Function(function) = expression {
                    write_zone(function, language.time_zone);
                }
                ControlFlow::Continue(())
            });
            Some(Statement::Statement(Box::new(sql)))
        }
        _ => {
            let first = query.value.split_whitespace().next().unwrap_or_default();
            problems.add(
                Diagnostic::error("not-a-query", "a definition holds one SELECT and nothing else")
                    .at(find_word(language, query, first))
                    .hint("write `SELECT ... FROM ...`; a definition only reads"),
            );
            None
        }
    }
}

pub(super) fn used_tables(context: &SessionContext, statement: &Statement) -> BTreeSet<String> {
    let references = context.state().resolve_table_references(statement).unwrap_or_default();
    references.into_iter().map(|reference| reference.table().to_owned()).collect()
}

/// The place of a word in a query; the query's own place where it cannot be found.
pub(super) fn find_word(language: &Language, query: &Spanned<String>, word: &str) -> Span {
    let text = &query.value;
    let Some(at) = word_in(text, word) else { return query.span };
    let start = text[..at].chars().count();
    let file = &language.sources.get(query.span.file).text;
    source_span(file, query.span, text, start, start + word.chars().count())
}

/// Where a word stands in a text and is not part of a longer one.
fn word_in(text: &str, word: &str) -> Option<usize> {
    let is_letter = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
    text.match_indices(word)
        .map(|(at, _)| at)
        .find(|at| !is_letter(text[..*at].chars().next_back()) && !is_letter(text[at + word.len()..].chars().next()))
}

/// Derived tables, each behind the derived tables that it reads. Those in a cycle are reported and left out.
fn in_dependency_order<'a>(
    context: &SessionContext,
    language: &Language,
    specs: &BTreeMap<String, &'a TableSpec>,
    problems: &mut Problems,
) -> Vec<(String, &'a TableSpec)> {
    let mut waiting: BTreeMap<String, (&TableSpec, BTreeSet<String>)> = BTreeMap::new();
    for (name, spec) in specs {
        let Some(query) = &spec.query else { continue };
        // What cannot be read is reported with its table.
        let statement = language.parse_statements(query).ok().and_then(|mut statements| statements.pop());
        let statement = statement.map(|statement| Statement::Statement(Box::new(statement)));
        let used = statement.map(|statement| used_tables(context, &statement)).unwrap_or_default();
        let used = used.into_iter().filter(|used| specs.get(used).is_some_and(|spec| spec.query.is_some())).collect();
        waiting.insert(name.clone(), (spec, used));
    }
    let mut ordered = Vec::new();
    while let Some(name) = waiting
        .iter()
        .find(|(_, (_, used))| used.iter().all(|used| !waiting.contains_key(used)))
        .map(|(name, _)| name.clone())
    {
        if let Some((spec, _)) = waiting.remove(&name) {
            ordered.push((name, spec));
        }
    }
    for (name, (spec, used)) in &waiting {
        problems.add(
            Diagnostic::error(
                "cycle",
                format!("table `{name}` is made from itself, through {}", list(used.iter().map(String::as_str))),
            )
            .at(spec.table.span)
            .hint("a query reads other tables only; leave one of them out"),
        );
    }
    ordered
}

fn source_options(spec: &TableSpec, problems: &mut Problems) -> Option<SourceOptions> {
    let mut options = SourceOptions::default();
    let before = problems.count();
    if let Some(csv) = &spec.csv {
        let mut character = |key: &str, text: &Option<Spanned<String>>, default: u8| match text {
            None => default,
            Some(text) if text.len() == 1 => text.as_bytes()[0],
            Some(text) => {
                problems.add(
                    Diagnostic::error("wrong-value", format!("`{key}` is one character, not `{}`", text.value))
                        .at(text.span)
                        .hint("such as `\";\"` or `\"\\t\"`"),
                );
                default
            }
        };
        options.csv = CsvOptions {
            delimiter: csv.delimiter.is_some().then(|| character("delimiter", &csv.delimiter, b',')),
            quote: character("quote", &csv.quote, b'"'),
            null_values: csv.null_values.iter().flatten().map(|word| word.value.clone()).collect(),
        };
    }
    for (name, data_type) in spec.partitioned_by.iter() {
        if let Some(data_type) = parse_type(data_type, problems) {
            options.partitions.push((name.value.clone(), data_type));
        }
    }
    (problems.count() == before).then_some(options)
}

/// The columns of CSV files that are read as something else than text.
pub(super) fn typed_texts(spec: &TableSpec, source: &Source) -> Vec<TypedText> {
    let written = |column: &str| {
        let by_name = |(name, spec): &&(Spanned<String>, Spanned<ColumnSpec>)| {
            spec.from.as_ref().unwrap_or(name).value == column && spec.expression.is_none()
        };
        spec.columns.iter().find(by_name).map(|(_, spec)| spec)
    };
    let typed = source.suggested_types.iter().filter_map(|(column, suggested)| {
        let spec = written(column);
        let declared = spec.and_then(|spec| spec.data_type.as_ref());
        // A type that cannot be read is reported where it stands.
        let data_type = match declared {
            Some(declared) => parse_type(declared, &mut Problems::default())?,
            None => suggested.clone(),
        };
        let format = spec.and_then(|spec| spec.format.as_ref()).map(|format| format.value.clone());
        let name = typing::type_name(&data_type);
        let is_guess = declared.is_none();
        (name != "text").then(|| TypedText { column: column.clone(), data_type, format, name, is_guess })
    });
    typed.collect()
}

/// Reads the name of a type.
fn parse_type(text: &Spanned<String>, problems: &mut Problems) -> Option<DataType> {
    const NAMES: [&str; 7] = ["text", "integer", "double", "decimal(18,2)", "boolean", "date", "timestamp"];
    let name = text.value.to_lowercase().replace(' ', "");
    let simple = match name.as_str() {
        "text" => Some(DataType::Utf8View),
        "integer" => Some(DataType::Int64),
        "double" => Some(DataType::Float64),
        "boolean" => Some(DataType::Boolean),
        "date" => Some(DataType::Date32),
        "timestamp" => Some(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        _ => None,
    };
    let decimal = || {
        let (precision, scale) = name.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?;
        let (precision, scale): (u8, i8) = (precision.parse().ok()?, scale.parse().ok()?);
        let fits = (1..=38).contains(&precision) && scale >= 0 && scale as u8 <= precision;
        fits.then_some(DataType::Decimal128(precision, scale))
    };
    let found = simple.or_else(decimal);
    if found.is_none() {
        let diagnostic = Diagnostic::error("unknown-type", format!("there is no type `{}`", text.value)).at(text.span);
        problems.add(match nearest(&name, NAMES) {
            Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
            None => diagnostic.hint(match name.as_str() {
                "decimal" | "numeric" | "money" => {
                    "write how many digits it has, and how many of them behind the point: `decimal(18,2)`"
                }
                "int" | "bigint" | "smallint" | "long" => "write `integer`",
                "varchar" | "string" | "char" => "write `text`",
                "float" | "real" | "number" => "write `double`",
                "datetime" => "write `timestamp`",
                _ => "the types are text, integer, double, decimal(p,s), boolean, date and timestamp",
            }),
        });
    }
    found
}

/// The steps that files and queries share: columns, the standard filter, keys.
fn finish(
    context: &SessionContext,
    language: &Language,
    spec: &TableSpec,
    raw: LogicalPlanBuilder,
    files: Option<(&Source, &CsvOptions)>,
    origin: Origin,
    problems: &mut Problems,
) -> State {
    let before = problems.count();
    let projected = clean_columns(context, language, spec, &raw, files, problems);
    if problems.count() > before {
        return State::Broken;
    }
    let named = raw.project(projected).and_then(|plan| plan.alias(TableReference::bare(spec.table.value.as_str())));
    let Some(mut plan) = problems.planned(named, spec.table.span) else { return State::Broken };
    let schema = plan.schema().inner().clone();
    let columns: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();

    if let Some(condition) = &spec.condition
        && let Some(filter) = standard_filter(context, language, spec, condition, &columns, plan.schema(), problems)
    {
        let Some(filtered) = problems.planned(plan.filter(filter), condition.span) else { return State::Broken };
        plan = filtered;
    }
    let primary_key = spec.primary_key.as_ref().map(|key| key.items()).unwrap_or_default();
    for key in primary_key.iter().chain(spec.freshness.as_ref().map(|freshness| &freshness.column)) {
        if !columns.contains(&key.value) {
            problems.add(unknown_column(key, &spec.table.value, columns.iter().map(String::as_str)));
        }
    }
    let freshness = spec.freshness.as_ref().map(|freshness| &freshness.column);
    if let Some(column) = freshness
        && let Ok(field) = schema.field_with_name(&column.value)
        && !matches!(field.data_type(), DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _))
    {
        problems.add(
            Diagnostic::error(
                "wrong-type",
                format!(
                    "freshness is the age of a date or timestamp, but `{}` is {}",
                    column.value,
                    typing::type_name(field.data_type())
                ),
            )
            .at(column.span)
            .hint("name a column that tells when the row came, or give it a `type` under `columns`"),
        );
    }
    if problems.count() > before {
        return State::Broken;
    }
    let Some(plan) = problems.planned(plan.build(), spec.table.span) else { return State::Broken };
    let freshness = freshness.map(|column| column.value.clone());
    let csv = files.map(|(_, csv)| csv);
    let identity = format!("{}\n{csv:?}\n{freshness:?}", plan.display_indent_schema());
    let fingerprint = blake3::hash(identity.as_bytes()).to_hex().to_string();
    State::Ready(Arc::new(Table {
        name: spec.table.value.clone(),
        plan: Arc::new(plan),
        schema,
        primary_key: primary_key.into_iter().map(|key| key.value).collect(),
        joins: BTreeMap::new(),
        freshness,
        origin,
        fingerprint,
    }))
}

pub(super) fn unknown_column<'a>(
    name: &Spanned<String>,
    table: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Diagnostic {
    let diagnostic =
        Diagnostic::error("unknown-column", format!("there is no column `{}` in `{table}`", name.value)).at(name.span);
    match nearest(&name.value, known.clone()) {
        Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
        None => diagnostic.hint(format!("`{table}` has {}", list(known))),
    }
}

/// The columns of a table as its definition names, casts and cleans them.
fn clean_columns(
    context: &SessionContext,
    language: &Language,
    spec: &TableSpec,
    raw: &LogicalPlanBuilder,
    files: Option<(&Source, &CsvOptions)>,
    problems: &mut Problems,
) -> Vec<Expr> {
    let raw_names: Vec<String> = raw.schema().fields().iter().map(|field| field.name().clone()).collect();
    let null_values: &[String] = files.map(|(_, csv)| csv.null_values.as_slice()).unwrap_or_default();
    let suggested = |name: &str| {
        let (source, _) = files?;
        source.suggested_types.iter().find(|(column, _)| column == name).map(|(_, data_type)| data_type.clone())
    };
    let mut projected = Vec::new();
    let mut used: BTreeSet<String> = BTreeSet::new();
    for (name, column) in spec.columns.iter() {
        let wanted = column.data_type.as_ref().map(|data_type| parse_type(data_type, problems));
        let wanted = match wanted {
            Some(None) => continue,
            Some(Some(data_type)) => Some(data_type),
            None => None,
        };
        if let Some(expression) = &column.expression {
            let schema = raw.schema();
            let Some((expression, found)) =
                raw_expression(context, language, spec, expression, (schema, null_values), problems)
            else {
                continue;
            };
            used.insert(name.value.clone());
            let read_as = ReadAs { column, null_values: &[], suggested: None, time_zone: language.time_zone };
            projected.push(convert(expression, &found, wanted.as_ref(), &read_as, problems).alias(&name.value));
            continue;
        }
        let from = column.from.as_ref().unwrap_or(name);
        let Some((qualifier, field)) =
            raw.schema().iter().find(|(_, field)| field.name() == &from.value).map(|(q, f)| (q.cloned(), f.clone()))
        else {
            let mut diagnostic = unknown_column(from, &spec.table.value, raw_names.iter().map(String::as_str));
            if column.from.is_none() {
                diagnostic.hint = diagnostic.hint.map(|hint| format!("{hint}; or name the file's column with `from:`"));
            }
            problems.add(diagnostic);
            continue;
        };
        used.insert(from.value.clone());
        let suggested = suggested(&from.value).filter(|_| column.format.is_none());
        let is_guess = wanted.is_none();
        let wanted = wanted.or_else(|| suggested.clone());
        let read_as = ReadAs { column, null_values, suggested, time_zone: language.time_zone };
        let expression = Expr::Column(Column::new(qualifier, field.name()));
        let expression = if is_guess { without_codes(expression, wanted.as_ref()) } else { expression };
        projected.push(convert(expression, field.data_type(), wanted.as_ref(), &read_as, problems).alias(&name.value));
    }
    let mut rest = Vec::new();
    for (qualifier, field) in raw.schema().iter() {
        if used.contains(field.name()) || spec.columns.get(field.name()).is_some() {
            continue;
        }
        let expression = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        let plain = ColumnSpec::default();
        let wanted = suggested(field.name());
        let expression = without_codes(expression, wanted.as_ref());
        let read_as = ReadAs { column: &plain, null_values, suggested: None, time_zone: language.time_zone };
        rest.push(convert(expression, field.data_type(), wanted.as_ref(), &read_as, problems).alias(field.name()));
    }
    rest.extend(projected);
    rest
}

fn raw_expression(
    context: &SessionContext,
    language: &Language,
    spec: &TableSpec,
    text: &Spanned<String>,
    (schema, null_values): (&DFSchema, &[String]),
    problems: &mut Problems,
) -> Option<(Expr, DataType)> {
    let parsed = problems.take(language.parse(text))?;
    if let Some(diagnostic) = language.aggregate_in_row(&parsed, "a column") {
        problems.add(diagnostic);
        return None;
    }
    let names = Names {
        table: spec.table.value.clone(),
        columns: schema.fields().iter().map(|field| field.name().clone()).collect(),
        ..Names::default()
    };
    let unqualified =
        DFSchema::try_from_qualified_schema(TableReference::bare(spec.table.value.as_str()), schema.as_arrow());
    let unqualified = problems.planned(unqualified, text.span)?;
    let namespace = Namespace::from([(names.table.clone(), names)]);
    let resolved = problems.resolved(resolve(language, &namespace, &spec.table.value, &parsed))?;
    let (expression, data_type) = match typing::plan(&context.state(), resolved.sql, &unqualified) {
        Ok(planned) => planned,
        Err(error) => {
            let mut diagnostic = typing::mistake(&error).at(text.span);
            if diagnostic.hint.is_some() {
                diagnostic.hint =
                    Some("values of a CSV file are text here; cast them, such as `CAST(x AS DOUBLE)`".into());
            }
            problems.add(diagnostic);
            return None;
        }
    };
    // The rows behind it still have the name of their files, and their words for no value.
    let own = TableReference::bare(spec.table.value.as_str());
    let expression = TreeNode::transform_down(expression, |node| match node {
        Expr::Column(column) if column.relation.as_ref() == Some(&own) => {
            let qualifier = schema.qualified_field_with_unqualified_name(&column.name)?.0.cloned();
            let value = Expr::Column(Column::new(qualifier, column.name));
            let value = if is_text(&value.get_type(schema)?) { without_null_words(value, null_values) } else { value };
            // Not looked into again: the value itself stands inside what takes its place.
            Ok(Transformed::new(value, true, TreeNodeRecursion::Jump))
        }
        other => Ok(Transformed::no(other)),
    });
    Some((problems.planned(expression, text.span)?.data, data_type))
}

/// How the values of a column are read.
struct ReadAs<'a> {
    column: &'a ColumnSpec,
    null_values: &'a [String],
    /// What the texts of a CSV file look like.
    suggested: Option<DataType>,
    /// The project's, in which instants have their days.
    time_zone: &'a str,
}

/// A text that is guessed to be a whole number, made unreadable where it is a code such as `007` after all: a guess from
/// the first rows must not take zeros from later ones.
fn without_codes(value: Expr, guess: Option<&DataType>) -> Expr {
    if guess != Some(&DataType::Int64) {
        return value;
    }
    let text = btrim(vec![value.clone()]);
    let has_zero = starts_with(text.clone(), lit("0")).and(character_length(text.clone()).gt(lit(1)));
    let is_code = has_zero.or(starts_with(text.clone(), lit("+")));
    when(is_code, concat(vec![lit("code "), text])).otherwise(value.clone()).unwrap_or(value)
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8)
}

/// A text, or NULL where it is a word for no value.
fn without_null_words(value: Expr, words: &[String]) -> Expr {
    if words.is_empty() {
        return value;
    }
    let words = words.iter().map(|word| lit(word.as_str())).collect();
    when(value.clone().in_list(words, true), value.clone()).end().unwrap_or(value)
}

/// Casts a value to the type wanted, and reads texts the way the column's definition says.
fn convert(
    value: Expr,
    found: &DataType,
    wanted: Option<&DataType>,
    read_as: &ReadAs,
    problems: &mut Problems,
) -> Expr {
    let ReadAs { column, null_values, suggested, time_zone } = read_as;
    let is_text = is_text(found);
    let value = if is_text { without_null_words(value, null_values) } else { value };
    let zone = column.time_zone.as_ref().filter(|zone| match zone.parse::<chrono_tz::Tz>() {
        Ok(_) => true,
        Err(_) => {
            problems.add(super::unknown_zone(zone));
            false
        }
    });
    let Some(wanted) = wanted else {
        if let (DataType::Timestamp(_, None), Some(zone)) = (found, zone) {
            return in_zone(value, zone);
        }
        if let Some(format) = &column.format {
            problems.add(
                Diagnostic::error("missing-key", "`format` needs `type: date` or `type: timestamp` beside it")
                    .at(format.span),
            );
        }
        return value;
    };
    match (wanted, &column.format) {
        (DataType::Date32, Some(format)) if is_text => to_date(vec![btrim(vec![value]), lit(format.value.as_str())]),
        (DataType::Timestamp(_, _), Some(format)) if is_text => {
            let local = to_timestamp_micros(vec![btrim(vec![value]), lit(format.value.as_str())]);
            // With an offset in the text, what DataFusion reads is UTC already.
            let has_offset = ["%z", "%:z", "%::z", "%:::z", "%#z", "%+"].iter().any(|sign| format.contains(sign));
            in_zone(local, zone.filter(|_| !has_offset).map_or("UTC", |zone| zone.as_str()))
        }
        (_, Some(format)) if column.format.is_some() => {
            let reason = if is_text {
                "only dates and timestamps have a `format`"
            } else {
                "the column is no text, so it has no `format`"
            };
            problems.add(Diagnostic::error("wrong-value", reason).at(format.span));
            value
        }
        (DataType::Timestamp(_, _), None) if is_text => match zone {
            Some(zone) => in_zone(btrim(vec![value]), zone),
            None => cast(btrim(vec![value]), wanted.clone()),
        },
        (DataType::Date32, None) if is_text && matches!(suggested, Some(DataType::Timestamp(_, _))) => {
            local_day(in_zone(btrim(vec![value]), zone.map_or("UTC", |zone| zone.as_str())), time_zone)
        }
        (DataType::Date32, None) if matches!(found, DataType::Timestamp(_, _)) => match (found, zone) {
            (DataType::Timestamp(_, None), Some(zone)) => local_day(in_zone(value, zone), time_zone),
            _ => local_day(value, time_zone),
        },
        (DataType::Timestamp(_, _), None) => match (found, zone) {
            (DataType::Timestamp(_, None), zone) => in_zone(value, zone.map_or("UTC", |zone| zone.as_str())),
            _ => cast(value, wanted.clone()),
        },
        (DataType::Utf8View, _) if is_text => value,
        _ if is_text => cast(btrim(vec![value]), wanted.clone()),
        _ if found == wanted => value,
        _ => cast(value, wanted.clone()),
    }
}

/// A timestamp without a zone, or a text, read as the local time of one.
fn in_zone(local: Expr, zone: &str) -> Expr {
    instant_of().call(vec![local, lit(zone)])
}

/// The day of an instant in the project's zone.
fn local_day(instant: Expr, zone: &str) -> Expr {
    local_date().call(vec![instant, lit(zone)])
}

fn standard_filter(
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
fn namespace(
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
fn check_definitions(
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

/// The joins of a table, each proven to find at most one row by the key that the other table declares.
fn joins(
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
