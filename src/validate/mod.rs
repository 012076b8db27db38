//! From what was written to what is meant: every name resolved, every expression typed against the real schemas.
//!
//! All mistakes are collected and none hides another: a broken table is reported once, and what stands on it is left out
//! in silence. Nothing is computed here, and nothing is printed.

mod advice;
mod aggregate;
mod arithmetic;
mod assertions;
mod columns;
mod composite;
mod definitions;
mod expression;
mod fingerprint;
mod given;
mod included;
mod joins;
mod kpis;
mod lacking;
mod length;
mod measures;
mod order;
mod purpose;
mod queries;
mod query;
mod reads;
mod subject;
mod tables;
mod target;
mod testing;
mod typing;
mod unusable;
mod variant;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use chrono::Weekday;
use chrono_tz::Tz;
use datafusion::arrow::datatypes::DataType;
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;

use crate::catalog::Periods;
use crate::diagnostic::{Diagnostic, Sources, Span, nearest};
use crate::error::{Error, Result};
use crate::load::{DocumentKind, LoadedDocument, LoadedProject};
use crate::location::{Location, plain_path};
use crate::model::{Dimension, Kpi, Model, Project, Shape, Tests};
use crate::spec::{Document, ProjectSpec, SettingValue, Spanned};
use crate::time::Calendar;
use expression::{Language, Unresolved};
use tables::Tables;

/// A project as far as it makes sense, and everything that does not.
#[derive(Debug)]
pub struct Validated {
    /// The tables and KPIs that can run, even where others have mistakes.
    pub model: Model,
    /// Mistakes of this stage; those of loading are in [`LoadedProject::diagnostics`].
    pub diagnostics: Vec<Diagnostic>,
    /// The KPIs whose data cannot be used, by name, where no definition has a mistake; some of them are in the model.
    pub unusable: BTreeMap<String, Unusable>,
    scope: Scope,
}

/// What naming further dimensions needs after validation.
#[derive(Debug)]
struct Scope {
    tables: Tables,
    functions: BTreeSet<String>,
    aggregates: BTreeSet<String>,
    settings: BTreeMap<String, SettingValue>,
}

pub use advice::advice;
pub use columns::rows_as_they_seem;
pub use given::Given;
pub use unusable::{Unusable, is_about_data};

/// Checks a loaded project against the data that it names. Tables are registered in `context` under their names.
pub async fn validate(loaded: &LoadedProject, context: &SessionContext) -> Validated {
    validate_with(loaded, context, None).await
}

/// Checks a loaded project against given rows in the place of its data, for a test. Its own tests are left aside.
pub async fn validate_given(loaded: &LoadedProject, context: &SessionContext, given: &Given) -> Validated {
    validate_with(loaded, context, Some(given)).await
}

async fn validate_with(loaded: &LoadedProject, context: &SessionContext, given: Option<&Given>) -> Validated {
    let mut problems = Problems::default();
    let documents = Documents::sort(loaded, &mut problems);
    let mistakes = problems.count();
    let mut project = project(loaded, documents.project, &mut problems);
    let is_broken = loaded.broken.iter().any(|broken| broken.kind == DocumentKind::Project);
    let is_project = |document: &&LoadedDocument| matches!(document.document, Document::Project(_));
    let is_whole = loaded.documents.iter().filter(is_project).all(|document| document.taken_out.is_empty());
    project.is_sound = problems.count() == mistakes && !is_broken && is_whole;
    let settings: BTreeMap<String, SettingValue> = (documents.project.into_iter())
        .flat_map(|project| project.settings.iter())
        .map(|(name, value)| (name.value.clone(), value.value.clone()))
        .collect();
    let functions = functions(context);
    let aggregates = aggregates(context);
    let time_zone = project.calendar.time_zone.name();
    let language = Language {
        sources: &loaded.sources,
        settings: &settings,
        time_zone,
        functions: &functions,
        aggregates: &aggregates,
    };
    let mentioned = given.map(|given| (given, given::mentioned(&language, &documents.tables, &documents.kpis)));
    let specs = tables::Specs { tables: &documents.tables, broken: &documents.broken.tables, given: mentioned };
    let tables = tables::tables(context, &language, &project, &specs, &mut problems).await;
    let state = context.state();
    let kpi_context = kpis::Context {
        session: context,
        state: &state,
        language: &language,
        project: &project,
        tables: &tables,
        table_specs: &documents.tables,
        broken_kpis: &documents.broken.kpis,
    };
    let objectives = purpose::objectives(&documents.objectives, &documents.broken.objectives, &mut problems);
    purpose::named_objectives(&documents.objectives, &documents.broken.objectives, &documents.kpis, &mut problems);
    let hidden = included::hidden(documents.project, &documents.kpis, &objectives, &mut problems);
    let (checked, mut skipped) = kpis::kpis(&kpi_context, &documents.kpis, &mut problems);
    let lacking::Sorted { kpis: mut ordered, skipped: lacking, left_out } = lacking::sort_out(&kpi_context, checked);
    skipped.extend(lacking);
    skipped.sort_by(|one, other| one.kpi.cmp(&other.kpi));
    for kpi in ordered.iter_mut().filter(|kpi| hidden.contains(kpi.variant_of.as_ref().unwrap_or(&kpi.name))) {
        Arc::make_mut(kpi).is_hidden = true;
    }
    let mut tests = Tests::default();
    if given.is_none() {
        tests.tables = testing::table_tests(&kpi_context, &mut problems);
        (tests.assertions, tests.skipped_assertions) =
            assertions::assertions(&kpi_context, &documents.kpis, (&ordered, &skipped), &mut problems);
    }
    nothing_is_lost(loaded, &documents, &ordered, &skipped, &mut problems);
    let errors = || loaded.diagnostics.iter().chain(&problems.found).filter(|diagnostic| diagnostic.is_error());
    let unusable = match errors().all(is_about_data) {
        true => unusable::unusable(&unusable::Outcome {
            tables: &tables,
            table_specs: &documents.tables,
            kpi_specs: &documents.kpis,
            objectives: &objectives,
            hidden: &hidden,
            ready: &ordered.iter().map(AsRef::as_ref).collect::<Vec<_>>(),
            skipped: &skipped.iter().map(|skipped| skipped.kpi.as_str()).collect(),
        }),
        false => BTreeMap::new(),
    };
    skipped.retain(|skipped| !hidden.contains(&skipped.kpi));
    let periods = match given {
        Some(given) => given.periods.clone(),
        None => Arc::new(Periods::of(&project.calendar).expect("the columns of `periods` fit its schema")),
    };
    calendar_table(context, &periods);
    let model = Model {
        periods,
        objectives,
        tables: lacking::usable(&tables),
        order: ordered.iter().map(|kpi| kpi.name.clone()).collect(),
        kpis: ordered.into_iter().map(|kpi| (kpi.name.clone(), kpi)).collect(),
        skipped,
        left_out,
        lacking: lacking::lacks(&tables),
        project,
        tests,
    };
    let scope =
        Scope { tables, functions: functions.clone(), aggregates: aggregates.clone(), settings: settings.clone() };
    let mut validated = Validated { model, diagnostics: Vec::new(), unusable, scope };
    if given.is_none() {
        let given_context = given::GivenContext {
            session: context,
            language: &language,
            tables: &documents.tables,
            broken_tables: &documents.broken.tables,
            validated: &validated,
        };
        validated.model.tests.given = given::given_tests(&given_context, &documents.kpis, &mut problems);
    }
    validated.diagnostics = problems.found;
    validated
}

impl Validated {
    /// The KPI with further dimensions, as `--by` asks; any dimension, column or path of its table is possible.
    ///
    /// # Errors
    /// A message and a hint where a KPI below it has no such dimension.
    pub fn with_dimensions(
        &self,
        context: &SessionContext,
        kpi: &Kpi,
        names: &[String],
    ) -> Result<Model, (String, Option<String>)> {
        let mut model = self.model.clone();
        self.add_dimensions(context, &kpi.name, names, &mut model)?;
        Ok(model)
    }

    fn add_dimensions(
        &self,
        context: &SessionContext,
        kpi: &str,
        names: &[String],
        model: &mut Model,
    ) -> Result<(), (String, Option<String>)> {
        let mut changed = model.kpis[kpi].as_ref().clone();
        match &mut changed.shape {
            Shape::Arithmetic(arithmetic) => {
                for input in arithmetic.inputs.iter().filter(|input| !input.is_total) {
                    self.add_dimensions(context, &input.kpi, names, model)?;
                }
            }
            Shape::Composite(composite) => {
                for part in &composite.parts {
                    self.add_dimensions(context, &part.kpi, names, model)?;
                }
            }
            Shape::Aggregate(aggregate) => {
                for name in names.iter().filter(|name| !changed.required_dimensions.contains(name)) {
                    if aggregate.takes(name) {
                        let hint = format!("give it another name under `dimensions` in table `{}`", aggregate.table);
                        return Err((format!("`{name}` means something else in `{kpi}`"), Some(hint)));
                    }
                    let dimension = self.dimension(context, &model.project, &aggregate.table, name)?;
                    aggregate.dimensions.insert(name.clone(), dimension);
                }
            }
            Shape::Query(query) => {
                if !query.is_prepared_for(names) {
                    let known: Vec<&str> = query.dimensions.keys().map(String::as_str).collect();
                    let hint = match known.as_slice() {
                        [] => "it has no dimensions".to_owned(),
                        known => format!("it has {}; name this breakdown in its `by`", known.join(", ")),
                    };
                    let message = format!("the query of `{kpi}` is not prepared for {}", names.join(", "));
                    return Err((message, Some(hint)));
                }
            }
        }
        model.kpis.insert(kpi.to_owned(), Arc::new(changed));
        Ok(())
    }

    fn dimension(
        &self,
        context: &SessionContext,
        project: &Project,
        table: &str,
        name: &str,
    ) -> Result<Dimension, (String, Option<String>)> {
        let mut sources = Sources::default();
        let file = sources.add("--by", name);
        let text = Spanned::new(name.to_owned(), Span { file, start: 0, end: name.len() });
        let language = Language {
            sources: &sources,
            settings: &self.scope.settings,
            time_zone: project.calendar.time_zone.name(),
            functions: &self.scope.functions,
            aggregates: &self.scope.aggregates,
        };
        let (specs, broken_kpis) = (BTreeMap::new(), BTreeSet::new());
        let state = context.state();
        let tables = &self.scope.tables;
        let context = kpis::Context {
            session: context,
            state: &state,
            language: &language,
            project,
            tables,
            table_specs: &specs,
            broken_kpis: &broken_kpis,
        };
        let lacking =
            |dimension: &Dimension| lacking::needs(tables, &reads::of_dimension_over(tables, table, dimension));
        let dimension = kpis::dimension(&context, table, &text);
        if let Ok(needs) = dimension.as_ref().map(lacking)
            && !needs.is_empty()
        {
            return Err((format!("`{name}` cannot be told: {}", lacking::reason(tables, &needs)), None));
        }
        dimension.map_err(|problem| match problem {
            Unresolved::Mistake(diagnostic) => (diagnostic.message, diagnostic.hint),
            Unresolved::Missing { table } => (format!("table `{table}` has no data"), None),
            Unresolved::Elsewhere => {
                (format!("the definition of `{name}` has mistakes"), Some("run `kpi check`".into()))
            }
        })
    }
}

/// A KPI that is written is ready, or skipped, or has a mistake that is told. One that is none of these must not vanish.
fn nothing_is_lost(
    loaded: &LoadedProject,
    documents: &Documents,
    ready: &[Arc<Kpi>],
    skipped: &[crate::model::Skipped],
    problems: &mut Problems,
) {
    if loaded.diagnostics.iter().chain(&problems.found).any(Diagnostic::is_error) {
        return;
    }
    let known: BTreeSet<&String> =
        ready.iter().map(|kpi| &kpi.name).chain(skipped.iter().map(|skipped| &skipped.kpi)).collect();
    for (name, (_, spec)) in &documents.kpis {
        if !known.contains(name) {
            problems.add(
                Diagnostic::error("not-understood", format!("KPI `{name}` cannot be computed, and kpi cannot say why"))
                    .at(spec.kpi.span)
                    .hint("this is a mistake in kpi; please report it with this definition and its table's"),
            );
        }
    }
}

/// The documents of a project by kind and name.
struct Documents<'a> {
    project: Option<&'a ProjectSpec>,
    /// Names of documents whose mistakes are reported already, by kind.
    broken: Broken,
    objectives: BTreeMap<String, &'a crate::spec::ObjectiveSpec>,
    tables: BTreeMap<String, &'a crate::spec::TableSpec>,
    kpis: BTreeMap<String, (&'a LoadedDocument, &'a crate::spec::KpiSpec)>,
}

impl<'a> Documents<'a> {
    fn sort(loaded: &'a LoadedProject, problems: &mut Problems) -> Self {
        let mut documents = Documents {
            project: None,
            broken: Broken::default(),
            objectives: BTreeMap::new(),
            tables: BTreeMap::new(),
            kpis: BTreeMap::new(),
        };
        for broken in &loaded.broken {
            documents.broken.add(broken.kind, &broken.name);
        }
        let mut first: BTreeMap<(&str, String), Span> = BTreeMap::new();
        for loaded in &loaded.documents {
            let (kind, name) = match &loaded.document {
                Document::Project(project) => ("project", &project.project),
                Document::Objective(objective) => ("objective", &objective.objective),
                Document::Table(table) => ("table", &table.table),
                Document::Kpi(kpi) => ("KPI", &kpi.kpi),
            };
            check_name(kind, name, problems);
            // There is one project, whatever its name.
            let key = (kind, if kind == "project" { String::new() } else { name.value.clone() });
            if let Some(before) = first.get(&key) {
                let message = match kind {
                    "project" => "there are two `project` documents".to_owned(),
                    _ => format!("there are two {kind}s `{}`", name.value),
                };
                problems.add(
                    Diagnostic::error("duplicate-name", message)
                        .at(name.span)
                        .label(*before, "the first one is here")
                        .hint("rename one of them, or leave it out"),
                );
                continue;
            }
            first.insert(key, name.span);
            if !loaded.taken_out.is_empty() {
                let kind = match &loaded.document {
                    Document::Project(_) => DocumentKind::Project,
                    Document::Objective(_) => DocumentKind::Objective,
                    Document::Table(_) => DocumentKind::Table,
                    Document::Kpi(_) => DocumentKind::Kpi,
                };
                // Without the keys that had mistakes it would mean something else, so it must not run.
                documents.broken.add(kind, &name.value);
            }
            match &loaded.document {
                Document::Project(project) => documents.project = Some(project),
                Document::Objective(objective) => {
                    documents.objectives.insert(objective.objective.value.clone(), objective);
                }
                Document::Table(table) => {
                    documents.tables.insert(table.table.value.clone(), table);
                }
                Document::Kpi(kpi) => {
                    documents.kpis.insert(kpi.kpi.value.clone(), (loaded, kpi));
                }
            }
        }
        documents
    }
}

/// Documents that must not run, since their mistakes are reported already.
#[derive(Debug, Default)]
struct Broken {
    objectives: BTreeSet<String>,
    tables: BTreeSet<String>,
    kpis: BTreeSet<String>,
}

impl Broken {
    fn add(&mut self, kind: DocumentKind, name: &str) {
        match kind {
            DocumentKind::Project => {}
            DocumentKind::Objective => {
                self.objectives.insert(name.to_owned());
            }
            DocumentKind::Table => {
                self.tables.insert(name.to_owned());
            }
            DocumentKind::Kpi => {
                self.kpis.insert(name.to_owned());
            }
        }
    }
}

fn check_name(kind: &str, name: &Spanned<String>, problems: &mut Problems) {
    let mut letters = name.chars();
    let is_snake_case = letters.next().is_some_and(|first| first.is_ascii_lowercase())
        && letters.all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
    let reserved =
        [("table", crate::catalog::PERIODS, "the calendar"), ("KPI", "kpi_values", "the table of all results")];
    let taken = reserved.iter().find(|(of, word, _)| *of == kind && *word == name.value);
    if !is_snake_case {
        let suggestion: String = name
            .chars()
            .map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' })
            .collect();
        let suggestion = match suggestion.trim_matches('_') {
            "" => "net_revenue".to_owned(),
            digits if digits.starts_with(|first: char| first.is_ascii_digit()) => {
                format!("{}_{digits}", kind.to_lowercase())
            }
            other => other.to_owned(),
        };
        problems.add(
            Diagnostic::error(
                "invalid-name",
                format!(
                    "`{}` is no name for {} {kind}",
                    name.value,
                    if matches!(kind, "input" | "objective") { "an" } else { "a" }
                ),
            )
            .at(name.span)
            .hint(format!("names are lower-case letters, digits and underscores, such as `{suggestion}`")),
        );
    } else if let Some((_, word, what)) = taken {
        problems.add(
            Diagnostic::error("invalid-name", format!("`{word}` is {what}")).at(name.span).hint("take another name"),
        );
    }
}

fn project(loaded: &LoadedProject, spec: Option<&ProjectSpec>, problems: &mut Problems) -> Project {
    let mut calendar = Calendar::default();
    let Some(spec) = spec else {
        let has_other = !loaded.documents.is_empty();
        if has_other && !loaded.broken.iter().any(|broken| broken.kind == DocumentKind::Project) {
            problems.add(Diagnostic::error("missing-project", "no file has a `project:` document").hint(
                "add `kpis/project.yaml` with `project: my_company` and, if need be, `time_zone`, `data` and `output`",
            ));
        }
        let base = loaded.root.join("kpis");
        return Project {
            name: String::new(),
            description: None,
            calendar,
            currency: None,
            is_sound: true,
            data: folder("../data", &base),
            output: folder("../out", &base),
            allowed_locations: Vec::new(),
            folder: base,
        };
    };
    if let Some(zone) = &spec.time_zone {
        match zone.parse::<Tz>() {
            Ok(found) => calendar.time_zone = found,
            Err(_) => problems.add(unknown_zone(zone)),
        }
    }
    if let Some(day) = &spec.week_starts {
        match day.parse::<Weekday>() {
            Ok(found) => calendar.week_starts = found,
            Err(_) => {
                const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
                let diagnostic =
                    Diagnostic::error("unknown-value", format!("`{}` is no day of the week", day.value)).at(day.span);
                problems.add(match nearest(day, DAYS) {
                    Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
                    None => diagnostic.hint("such as `monday` or `sunday`"),
                });
            }
        }
    }
    if let Some(month) = &spec.fiscal_year_starts {
        match month.value {
            1..=12 => calendar.fiscal_year_starts = month.value,
            other => problems.add(
                Diagnostic::error("wrong-value", format!("`{other}` is no month"))
                    .at(month.span)
                    .hint("write 1 for January to 12 for December"),
            ),
        }
    }
    // Paths in the file are relative to the file's folder, as people expect of a file.
    let file = loaded.documents.iter().find(|document| matches!(document.document, Document::Project(_)));
    let base = file
        .and_then(|document| loaded.sources.get(document.file).path.parent().map(|folder| loaded.root.join(folder)))
        .unwrap_or_else(|| loaded.root.clone());
    let text = |text: &Option<Spanned<String>>| text.as_ref().map(|text| text.value.trim().to_owned());
    let mut place = |text: &Spanned<String>| match located(&text.value, &base) {
        Ok(location) => Some(location),
        Err(error) => {
            problems.add(location_problem(error).at(text.span));
            None
        }
    };
    let data = spec.data.as_ref().and_then(&mut place);
    let output = spec.output.as_ref().and_then(&mut place);
    let allowed = spec.allowed_locations.iter().flatten().filter_map(&mut place).collect();
    if let (Some(location), Some(written)) = (&output, &spec.output)
        && !location.is_writable()
    {
        problems.add(
            Diagnostic::error(
                "wrong-value",
                format!("results cannot be kept at `{location}`: a web server only reads"),
            )
            .at(written.span)
            .hint("name a folder, or a place in an object store such as s3://bucket/kpi"),
        );
    }
    Project {
        name: spec.project.value.clone(),
        description: text(&spec.description),
        calendar,
        currency: text(&spec.currency),
        data: data.unwrap_or_else(|| folder("../data", &base)),
        output: output.unwrap_or_else(|| folder("../out", &base)),
        allowed_locations: allowed,
        is_sound: true,
        folder: base,
    }
}

fn calendar_table(context: &SessionContext, periods: &Periods) {
    let table = periods.table().expect("the rows of `periods` fit its schema");
    // The name is kept free by `check_name`.
    let _ = context.register_table(crate::catalog::PERIODS, table);
}

/// A place that a definition names; paths start at the folder of its file.
fn located(text: &str, base: &Path) -> Result<Location> {
    Location::parse(text, &Location::Local(base.to_owned()))
}

fn folder(name: &str, base: &Path) -> Location {
    Location::Local(plain_path(&base.join(name)))
}

/// The code of a source that a store does not let be read now, which is no mistake in a definition.
pub const UNREACHABLE_SOURCE: &str = "unreachable-source";

/// The code of data files that are not what they should be, which is no mistake in a definition either.
pub const UNREADABLE_SOURCE: &str = "unreadable-source";

/// What is wrong with a place that a definition names.
fn location_problem(error: Error) -> Diagnostic {
    let mut diagnostic = Diagnostic::error("wrong-location", error.message());
    diagnostic.hint = error.hint().map(str::to_owned);
    diagnostic
}

fn unknown_zone(zone: &Spanned<String>) -> Diagnostic {
    let diagnostic =
        Diagnostic::error("unknown-value", format!("there is no time zone `{}`", zone.value)).at(zone.span);
    match nearest(zone, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name())) {
        Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
        None => diagnostic.hint("write an IANA name such as `America/New_York` or `Europe/Berlin`"),
    }
}

fn functions(context: &SessionContext) -> BTreeSet<String> {
    let state = context.state();
    let scalar = state.scalar_functions().keys();
    scalar.chain(state.aggregate_functions().keys()).map(|name| name.to_lowercase()).collect()
}

fn aggregates(context: &SessionContext) -> BTreeSet<String> {
    context.state().aggregate_functions().keys().map(|name| name.to_lowercase()).collect()
}

/// The mistakes found so far.
#[derive(Debug, Default)]
struct Problems {
    found: Vec<Diagnostic>,
    /// Raised also for what cannot go on because of a mistake that is reported elsewhere.
    silent: usize,
}

impl Problems {
    fn add(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// How many errors there are; to see whether a step added any.
    fn count(&self) -> usize {
        self.silent + self.found.iter().filter(|diagnostic| diagnostic.is_error()).count()
    }

    fn take<T>(&mut self, result: Result<T, Box<Diagnostic>>) -> Option<T> {
        result.map_err(|diagnostic| self.add(*diagnostic)).ok()
    }

    fn resolved<T>(&mut self, result: Result<T, Unresolved>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(Unresolved::Mistake(diagnostic)) => {
                self.add(*diagnostic);
                None
            }
            Err(Unresolved::Missing { .. }) => None,
            Err(Unresolved::Elsewhere) => {
                self.silent += 1;
                None
            }
        }
    }

    /// DataFusion's verdict on an expression or a plan.
    fn planned<T>(&mut self, result: Result<T, DataFusionError>, span: Span) -> Option<T> {
        result.map_err(|error| self.add(typing::mistake(&error).at(span))).ok()
    }

    /// Refuses a value that is no number, with what to count instead.
    fn is_number(&mut self, data_type: &DataType, span: Span) {
        if data_type.is_numeric() {
            return;
        }
        let hint = match data_type {
            DataType::Boolean => "count the rows where it holds: `count(*) FILTER (WHERE ...)`",
            DataType::Date32 | DataType::Timestamp(_, _) => {
                "count days or hours with `days_between` or `hours_between`"
            }
            _ => "count rows or values: `count(*)` or `count(DISTINCT ...)`",
        };
        self.add(
            Diagnostic::error(
                "wrong-type",
                format!("a value is a number, but this is {}", typing::type_name(data_type)),
            )
            .at(span)
            .hint(hint),
        );
    }

    fn is_condition(&mut self, data_type: &DataType, text: &Spanned<String>) -> bool {
        let is_boolean = matches!(data_type, DataType::Boolean | DataType::Null);
        if !is_boolean {
            self.add(
                Diagnostic::error(
                    "wrong-type",
                    format!("a condition is true or false, but this is {}", typing::type_name(data_type)),
                )
                .at(text.span)
                .hint(match data_type.is_numeric() {
                    true => "compare it with something, such as `> 0` or `IS NOT NULL`",
                    false => "compare it with something, such as `= 'web'` or `IS NOT NULL`",
                }),
            );
        }
        is_boolean
    }
}
