//! From `table:` documents to tables with data: files opened, columns cleaned, the standard filter applied, queries
//! planned, joins proven many-to-one by their declared keys.
//!
//! A table whose files are absent is no mistake: what stands on it is skipped. Whether a declared key is unique, or a history
//! has one row at a time, is not decided here; a run looks at the data.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use chrono::Days;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{DFSchema, TableReference};
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, ident, lit};
use datafusion::prelude::SessionContext;

use super::columns::{clean_columns, parse_type, typed_texts};
use super::definitions::{check_definitions, namespace, standard_filter};
use super::expression::{Language, Namespace, list, names_in};
use super::given::{Given, Mentioned};
use super::joins::joins;
use super::lacking::needs;
use super::queries::{find_word, in_dependency_order, invalid_query, parse_query, unrepeatable, used_tables};
use super::reads::{marked, merge, of_plan};
use super::testing::{days, no_length_of_days};
use super::{Problems, location_problem, typing};
use crate::catalog::{self, CsvOptions, Format, InputFile, Source, SourceError, SourceOptions};
use crate::diagnostic::{Diagnostic, nearest};
use crate::error::Error;
use crate::location::Location;
use crate::model::{Join, JoinPath, Lacks, Origin, Project, Reads, Table, files_relation, join_alias};
use crate::session;
use crate::spec::{ColumnSpec, MissingColumns, MissingFiles, Spanned, TableSpec};
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
    project: &Project,
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
        let state = from_files(context, language, project, all, spec, problems).await;
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
    project: &Project,
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
        None => match allowed(project, source) {
            Ok(location) => {
                let opened = catalog::open(context, &location, source, &options).await;
                if reads_results(project, &location, opened.as_ref().ok()) {
                    problems.add(results_as_input(project, source));
                    return State::Broken;
                }
                opened
            }
            Err(diagnostic) => {
                problems.add(diagnostic);
                return State::Broken;
            }
        },
    };
    if let Ok(opened) = &opened
        && let Some(diagnostic) = wrong_links(project, &opened.files)
    {
        problems.add(diagnostic.at(source.span));
        return State::Broken;
    }
    let (opened, why_absent) = match opened {
        Err(SourceError::Absent(reason)) => without_files(language, spec, reason),
        other => (other, None),
    };
    match opened {
        Err(SourceError::Absent(reason)) => State::Absent(reason),
        Err(SourceError::Unreadable { message, hint }) => {
            let mut diagnostic = Diagnostic::error("unreadable-source", message).at(source.span);
            diagnostic.hint = hint;
            problems.add(diagnostic);
            State::Broken
        }
        Err(SourceError::Storage(error)) => {
            problems.add(unreachable(&error).at(source.span));
            State::Broken
        }
        // Without a row and without a type nobody knows what the columns hold.
        Ok(opened)
            if all.given.is_none()
                && !opened.files.is_empty()
                && opened.has_no_rows(spec.partitioned_by.iter().count())
                && !has_types(spec) =>
        {
            State::Absent("its files have no rows, and its definition no types".into())
        }
        Ok(opened) => {
            let absent = match &all.given {
                Some(_) => Vec::new(),
                None => absent_columns(language, spec, &opened.schema(), opened.format == Format::Csv),
            };
            let opened = catalog::with_absent_columns(opened, &absent);
            let provider = provider_as_source(opened.provider.clone());
            let name = files_relation(&spec.table.value);
            let Ok(raw) = LogicalPlanBuilder::scan(TableReference::bare(name), provider, None) else {
                return State::Broken;
            };
            let origin = Origin::Files {
                source: source.value.clone(),
                opened: Arc::new(opened.clone()),
                csv: options.csv.clone(),
                texts: typed_texts(spec, &opened),
            };
            let columns = lacking_columns(language, spec, why_absent.is_some(), &absent);
            let lacks = Lacks { files: why_absent, columns };
            let known = Known { origin, reads: Reads::new(), lacks, absent: names_of(&absent) };
            finish(context, language, spec, raw, Some((&opened, &options.csv)), known, problems)
        }
    }
}

/// Whether a table reads what runs publish: each run would then change the data of the next one.
fn reads_results(project: &Project, location: &Location, opened: Option<&Source>) -> bool {
    let is_result = |file: &InputFile| file.location.below(&project.output).is_some();
    let is_file = location.as_path().is_some_and(|path| path.is_file());
    let is_around = !is_file && project.output.below(location).is_some();
    is_around || opened.is_some_and(|opened| opened.files.iter().any(is_result))
}

fn results_as_input(project: &Project, source: &Spanned<String>) -> Diagnostic {
    Diagnostic::error("wrong-location", format!("this table would read the results in `{}`", project.output))
        .at(source.span)
        .hint(
            "name another `output` in the project, or a `source` beside it; each run would change the next one's data",
        )
}

/// What is wrong with files that links lead to: they lie outside of what the project allows, or are read twice.
fn wrong_links(project: &Project, files: &[InputFile]) -> Option<Diagnostic> {
    let whole = |location: &Location| std::fs::canonicalize(location.as_path()?).ok();
    let around: Vec<PathBuf> =
        [&project.data].into_iter().chain(&project.allowed_locations).filter_map(whole).collect();
    let mut seen: BTreeMap<PathBuf, &Location> = BTreeMap::new();
    for file in files {
        // What is gone by now is found out by whoever reads it.
        let Some(path) = whole(&file.location) else { continue };
        if !around.iter().any(|around| path.starts_with(around)) {
            let message =
                format!("`{}` is a link to `{}`, outside of `{}`", file.location, path.display(), project.data);
            return Some(Diagnostic::error("forbidden-location", message).hint(
                "put the files below it, or add the place that the link leads to to `allowed_locations` of the project",
            ));
        }
        if let Some(other) = seen.insert(path, &file.location) {
            let message = format!("`{other}` and `{}` are one file, whose rows would count twice", file.location);
            return Some(Diagnostic::error("unreadable-source", message).hint("take away one of the links to it"));
        }
    }
    None
}

/// What a store answered, or why it did not, in one line.
fn unreachable(error: &Error) -> Diagnostic {
    let cause = error.cause().unwrap_or_default();
    let cause = cause.lines().next().map(|line| format!(": {line}")).unwrap_or_default();
    let mut diagnostic = Diagnostic::error("unreachable-source", format!("{}{cause}", error.message()));
    diagnostic.hint = error.hint().map(str::to_owned);
    diagnostic
}

/// Whether the project lets its tables read a source: a definition must not reach what nobody meant it to.
fn allowed(project: &Project, source: &Spanned<String>) -> Result<Location, Diagnostic> {
    let location = project.locate(source).map_err(|error| location_problem(error).at(source.span))?;
    match project.allows(&location) {
        true => Ok(location),
        false => {
            Err(Diagnostic::error("forbidden-location", format!("`{location}` lies outside of `{}`", project.data))
                .at(source.span)
                .hint("name a place below it, or add the one meant to `allowed_locations` of the project"))
        }
    }
}

/// What stands in the place of files that are not there, and why they are not where what needs them is skipped.
fn without_files(
    language: &Language,
    spec: &TableSpec,
    reason: String,
) -> (Result<Source, SourceError>, Option<String>) {
    let is_written_as_text = spec.columns.iter().any(|(_, column)| column.format.is_some());
    let is_csv =
        spec.csv.is_some() || is_written_as_text || spec.source.as_ref().is_some_and(|name| catalog::is_csv(name));
    let columns = typed_columns(language, spec, is_csv, |_, _| true);
    let is_empty = spec.missing_files.as_ref().is_some_and(|missing| missing.value == MissingFiles::Empty);
    let skips_columns = spec.missing_columns.as_ref().is_some_and(|missing| missing.value == MissingColumns::Skip);
    match columns.is_empty() {
        false if is_empty => match catalog::empty(&columns) {
            Ok(source) => (Ok(source), None),
            Err(_) => (Err(SourceError::Absent(reason)), None),
        },
        false if skips_columns => (Ok(catalog::absent(&columns)), Some(reason)),
        _ => (Err(SourceError::Absent(reason)), None),
    }
}

/// The columns that are declared with a type, and those that others are computed from, as the files should name and write
/// them. A CSV file would have texts.
fn typed_columns(
    language: &Language,
    spec: &TableSpec,
    is_csv: bool,
    is_wanted: impl Fn(&str, &str) -> bool,
) -> Vec<Field> {
    let mut columns: BTreeMap<String, DataType> = BTreeMap::new();
    // A type that cannot be read is reported where it stands.
    let data_type = |column: &ColumnSpec| parse_type(column.data_type.as_ref()?, &mut Problems::default());
    for (name, column) in spec.columns.iter().filter(|(_, column)| column.expression.is_none()) {
        let from = &column.from.as_ref().unwrap_or(name).value;
        if let Some(data_type) = data_type(column).filter(|_| is_wanted(name, from)) {
            columns.insert(from.clone(), data_type);
        }
    }
    for (name, column) in spec.columns.iter() {
        let parsed = column.expression.as_ref().and_then(|expression| language.parse(expression).ok());
        for read in parsed.map(|parsed| names_in(&parsed.sql)).unwrap_or_default() {
            if is_wanted(name, &read) {
                let own = data_type(column).filter(|_| read == name.value);
                columns.entry(read).or_insert_with(|| own.unwrap_or(DataType::Utf8View));
            }
        }
    }
    let data_type = |found: DataType| if is_csv { DataType::Utf8View } else { found };
    columns.into_iter().map(|(name, found)| Field::new(name, data_type(found), true)).collect()
}

/// The columns, as the files should name them, that are declared and not there, where that is no mistake.
fn absent_columns(language: &Language, spec: &TableSpec, schema: &Schema, is_csv: bool) -> Vec<Field> {
    if spec.missing_columns.as_ref().is_none_or(|missing| missing.value == MissingColumns::Error) {
        return Vec::new();
    }
    let has_default = |name: &str| {
        let column = spec.columns.get(name);
        column.is_some_and(|column| column.default_value.is_some() && column.expression.is_none())
    };
    // An expression may write a name in another case than the files.
    let is_there = |name: &str| [name, &name.to_lowercase()].iter().any(|name| schema.column_with_name(name).is_some());
    let is_absent = |name: &str, from: &str| !has_default(name) && !is_there(from);
    typed_columns(language, spec, is_csv, is_absent)
}

/// The rows of a query with further columns that it does not give.
fn with_absent_columns(spec: &TableSpec, plan: LogicalPlan, absent: &[Field]) -> DataFusionResult<LogicalPlanBuilder> {
    let rows = catalog::view_with_absent_columns(plan, absent);
    LogicalPlanBuilder::scan(
        TableReference::bare(format!("rows of {}", spec.table.value)),
        provider_as_source(rows),
        None,
    )
}

/// The columns of the table that the files say nothing of, with what the files would have to have.
fn lacking_columns(
    language: &Language,
    spec: &TableSpec,
    is_absent_table: bool,
    absent: &[Field],
) -> BTreeMap<String, BTreeSet<String>> {
    let is_absent = |name: &String| is_absent_table || absent.iter().any(|field| field.name() == name);
    let mut lacking = BTreeMap::new();
    for (name, column) in spec.columns.iter() {
        let read = match &column.expression {
            Some(expression) => language.parse(expression).map(|parsed| names_in(&parsed.sql)).unwrap_or_default(),
            None => BTreeSet::from([column.from.as_ref().unwrap_or(name).value.clone()]),
        };
        let read: BTreeSet<String> = read.into_iter().filter(is_absent).collect();
        if !read.is_empty() && column.default_value.is_none() {
            lacking.insert(name.value.clone(), read);
        }
    }
    lacking
}

fn names_of(fields: &[Field]) -> BTreeSet<String> {
    fields.iter().map(|field| field.name().clone()).collect()
}

fn has_types(spec: &TableSpec) -> bool {
    spec.columns.iter().any(|(_, column)| column.data_type.is_some())
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
        let planned = context.state().statement_to_plan(statement).await;
        let planned = planned.and_then(|plan| session::with_types(&context.state(), plan)).ok();
        let columns = planned.as_ref().map(|plan| plan.schema().as_arrow());
        let Some(source) = given.in_place_of_query(spec, columns, mentioned) else { return State::Broken };
        let name = TableReference::bare(format!("rows of {}", spec.table.value));
        let raw = LogicalPlanBuilder::scan(name, provider_as_source(source.provider.clone()), None);
        let Some(raw) = problems.planned(raw, query.span) else { return State::Broken };
        let (origin, csv) = (Origin::Query { tables: used }, CsvOptions::default());
        let texts = (source.format == Format::Csv).then_some((&source, &csv));
        let known = Known { origin, reads: Reads::new(), lacks: Lacks::default(), absent: BTreeSet::new() };
        return finish(context, language, spec, raw, texts, known, problems);
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
    let planned = context.state().statement_to_plan(statement).await;
    match planned.and_then(|plan| session::with_types(&context.state(), plan)) {
        Ok(plan) => {
            if let Some(function) = unrepeatable(&plan) {
                problems.add(
                    Diagnostic::error("not-repeatable", format!("`{function}` gives another answer at each run"))
                        .at(find_word(language, query, &function))
                        .hint("a KPI must be computed again with the same result; use a column instead"),
                );
                return State::Broken;
            }
            let Some(reads) = problems.planned(of_plan(&context.state(), tables, &plan), query.span) else {
                return State::Broken;
            };
            let absent = absent_columns(language, spec, plan.schema().as_arrow(), false);
            let lacks = Lacks { files: None, columns: lacking_columns(language, spec, false, &absent) };
            let origin = Origin::Query { tables: used };
            let raw = match absent.is_empty() {
                true => Ok(LogicalPlanBuilder::from(plan)),
                false => with_absent_columns(spec, plan, &absent),
            };
            let Some(raw) = problems.planned(raw, query.span) else { return State::Broken };
            let known = Known { origin, reads, lacks, absent: names_of(&absent) };
            let state = finish(context, language, spec, raw, None, known, problems);
            match state {
                // Behind further columns the query is not to be seen.
                State::Ready(table) if absent.is_empty() => {
                    let told = column_by_column(context, tables, table);
                    problems.planned(told, query.span).map_or(State::Broken, State::Ready)
                }
                other => other,
            }
        }
        Err(error) => {
            problems.add(invalid_query(language, query, &error));
            State::Broken
        }
    }
}

/// The table of a query that lacks something, with what lacks told by column: what reads only the others can run.
fn column_by_column(context: &SessionContext, tables: &Tables, mut table: Arc<Table>) -> DataFusionResult<Arc<Table>> {
    if needs(tables, &table.reads).is_empty() {
        return Ok(table);
    }
    let reads_of = |expression: Expr| {
        let plan = LogicalPlanBuilder::from(table.plan.as_ref().clone()).project([expression])?.build()?;
        of_plan(&context.state(), tables, &plan)
    };
    let mut reads = reads_of(lit(1))?;
    if !needs(tables, &reads).is_empty() {
        return Ok(table);
    }
    let mut lacking = BTreeMap::new();
    for field in table.schema.fields() {
        let read = reads_of(ident(field.name()))?;
        match needs(tables, &read).is_empty() {
            true => merge(&mut reads, read),
            false => drop(lacking.insert(field.name().clone(), read)),
        }
    }
    let changed = Arc::make_mut(&mut table);
    changed.time.take_if(|time| lacking.contains_key(time));
    changed.lacking_freshness = changed.freshness.take_if(|column| lacking.contains_key(column));
    (changed.reads, changed.lacking_reads) = (reads, lacking);
    Ok(table)
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

/// What is known of a table before its columns are.
struct Known {
    origin: Origin,
    reads: Reads,
    lacks: Lacks,
    /// The columns of its files that are not there, by the names that they should have.
    absent: BTreeSet<String>,
}

/// The steps that files and queries share: columns, the standard filter, keys.
fn finish(
    context: &SessionContext,
    language: &Language,
    spec: &TableSpec,
    raw: LogicalPlanBuilder,
    files: Option<(&Source, &CsvOptions)>,
    Known { origin, mut reads, lacks, absent }: Known,
    problems: &mut Problems,
) -> State {
    let before = problems.count();
    let projected = clean_columns(context, language, spec, &raw, files, &absent, problems);
    if problems.count() > before {
        return State::Broken;
    }
    let named = raw.project(projected).and_then(|plan| marked(plan, &spec.table.value));
    let Some(mut plan) = problems.planned(named, spec.table.span) else { return State::Broken };
    let schema = plan.schema().inner().clone();
    let columns: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();

    let mut filtered_by = BTreeSet::new();
    if let Some(condition) = &spec.condition
        && let Some(filter) = standard_filter(context, language, spec, condition, &columns, plan.schema(), problems)
    {
        filtered_by.extend(filter.column_refs().into_iter().map(|column| column.name().to_owned()));
        let Some(filtered) = problems.planned(plan.filter(filter), condition.span) else { return State::Broken };
        plan = filtered;
    }
    let lacking = |name: &str| lacks.columns.contains_key(name) && lacks.files.is_none();
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
    let lateness = spec.lateness.as_ref().and_then(|text| {
        let days = days(text);
        if days.is_none() {
            problems.add(no_length_of_days(text));
        }
        days
    });
    if problems.count() > before {
        return State::Broken;
    }
    let Some(plan) = problems.planned(plan.build(), spec.table.span) else { return State::Broken };
    let (lacking_freshness, freshness): (Option<String>, Option<String>) = match freshness {
        Some(column) if lacking(&column.value) => (Some(column.value.clone()), None),
        column => (None, column.map(|column| column.value.clone())),
    };
    let time = spec.time.as_ref().map(|time| time.value.clone());
    let time = time.filter(|time| columns.contains(time) && !lacking(time));
    let csv = files.map(|(_, csv)| csv);
    let lateness = Days::new(lateness.unwrap_or_default());
    let mut identity = format!("{}\n{csv:?}\n{freshness:?}", plan.display_indent_schema());
    if lateness != Days::new(0) {
        identity.push_str(&format!("\n{lateness:?}"));
    }
    let fingerprint = blake3::hash(identity.as_bytes()).to_hex().to_string();
    if matches!(origin, Origin::Files { .. }) || filtered_by.iter().any(|column| lacks.columns.contains_key(column)) {
        reads.entry(spec.table.value.clone()).or_default().extend(filtered_by);
    }
    State::Ready(Arc::new(Table {
        name: spec.table.value.clone(),
        plan: Arc::new(plan),
        schema,
        primary_key: primary_key.into_iter().map(|key| key.value).collect(),
        time,
        joins: BTreeMap::new(),
        freshness,
        lateness,
        lacking_freshness,
        origin,
        reads,
        lacking_reads: BTreeMap::new(),
        lacks,
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
