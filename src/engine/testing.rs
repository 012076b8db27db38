//! Tests that analysts wrote, in two places: `kpi test` runs those that were asked for, and a run those of the data that
//! it reads, where they count as audits.
//!
//! A test on given rows is an engine of its own, over the definitions behind one KPI and the rows of the test.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use datafusion::arrow::array::RecordBatch;
use datafusion::prelude::SessionContext;

use super::derived::with_derived_tables;
use super::explain::explain;
use super::{Engine, Question, Sorted};
use crate::diagnostic::{Diagnostic, Sources, nearest};
use crate::error::{Error, Result};
use crate::execute::{self, KpiResult, Outcomes};
use crate::load::{BrokenDocument, DocumentKind, LoadedDocument, LoadedProject};
use crate::model::{Assertion, DataTest, GivenTest, Origin, Place, SkippedTest, TestSeverity, with_larger};
use crate::plan;
use crate::session;
use crate::spec::{Document, KpiSpec, Spanned};
use crate::store::{Audit, AuditStatus};
use crate::survey::{AsOf, FileDays, broken_keys, repeated_targets, survey, tables_of};
use crate::testing::{Failure, TestKind, TestOutcome, Verdict, assertion_test, freshness_test, table_tests, unmet};
use crate::time::Grain;
use crate::validate::{Given, validate_given};

/// The name of the audit that says how old the data is.
pub(super) const FRESHNESS: &str = "freshness";
/// The name of the audits that say what tests found.
const TESTS: &str = "tests";

/// What `kpi test` is asked.
#[derive(Debug, Clone, Default)]
pub struct TestOptions {
    /// KPI names, `tag:` words and `table:` names; none means everything.
    pub select: Vec<String>,
    pub only: Option<Only>,
}

/// One kind of tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    /// Those on given rows.
    Given,
    /// Those of the data, and of results computed from it.
    Data,
}

/// What `kpi test` found.
#[derive(Debug)]
pub struct TestReport {
    /// In the order of subjects and of their definitions.
    pub outcomes: Vec<TestOutcome>,
    pub elapsed: Duration,
}

impl TestReport {
    /// 0 if all passed, warnings left aside, else 1.
    pub fn exit_code(&self) -> u8 {
        u8::from(self.outcomes.iter().any(TestOutcome::is_error))
    }
}

impl Engine {
    /// Runs the tests that were asked for.
    ///
    /// # Errors
    /// `Config` where the definitions have mistakes or the selection names nothing. A test that fails is in the report.
    pub async fn test(&self, options: &TestOptions) -> Result<TestReport> {
        let started = Instant::now();
        self.refuse_mistakes()?;
        // A test that cannot run must not look as if it had passed.
        if self.diagnostics().iter().any(Diagnostic::is_error) {
            return Err(self.no_usable_data());
        }
        let (kpis, tables) = self.selected_for_tests(&options.select)?;
        let mut outcomes = Vec::new();
        if options.only != Some(Only::Data) {
            for kpi in &kpis {
                outcomes.extend(self.test_given(kpi).await);
            }
        }
        if options.only != Some(Only::Given) {
            for table in &tables {
                outcomes.extend(self.test_table(&self.context, table, true).await);
            }
            outcomes.extend(self.test_results(&kpis).await);
        }
        Ok(TestReport { outcomes, elapsed: started.elapsed() })
    }

    /// The tests of a KPI on given rows.
    async fn test_given(&self, kpi: &str) -> Vec<TestOutcome> {
        let mut outcomes = Vec::new();
        for test in self.model().tests.given.get(kpi).into_iter().flatten() {
            let verdict = match self.on_given_rows(kpi, test).await {
                Ok(None) => Verdict::Passed,
                Ok(Some(failure)) => Verdict::Failed(failure),
                Err(error) => Verdict::Broken { error },
            };
            outcomes.push(TestOutcome {
                kind: TestKind::Given,
                subject: kpi.to_owned(),
                name: test.name.clone(),
                place: test.place.clone(),
                severity: test.severity,
                verdict,
            });
        }
        outcomes
    }

    /// Computes a KPI as if the given rows were all the data that there is, the way `kpi show` does, and compares.
    async fn on_given_rows(&self, kpi: &str, test: &GivenTest) -> Result<Option<Failure>> {
        let engine = self.with_given_rows(kpi, test).await?;
        let mut answers: BTreeMap<(Grain, Vec<&str>), RecordBatch> = BTreeMap::new();
        let mut failures = Vec::new();
        for expected in &test.expected {
            let by: Vec<&str> = expected.members.iter().map(|(name, _)| name.as_str()).collect();
            let rows = match answers.entry((expected.grain, by)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => {
                    let by = unknown.key().1.iter().map(|name| (*name).to_owned()).collect();
                    let question = Question { kpi: kpi.to_owned(), by, grain: Some(expected.grain), since: None };
                    unknown.insert(engine.show(&question).await?.rows)
                }
            };
            failures.extend(unmet(expected, rows)?);
        }
        let mut failures = failures.into_iter();
        let Some(first) = failures.next() else { return Ok(None) };
        let (mut message, mut examples) = (first.message, first.examples);
        for failure in failures {
            message = format!("{message}\n{}", failure.message);
            if examples.rows.is_empty() {
                examples = failure.examples;
            }
        }
        Ok(Some(Failure { message, rows: None, examples }))
    }

    /// An engine over the definitions behind a KPI, with a test's rows in the place of files.
    async fn with_given_rows(&self, kpi: &str, test: &GivenTest) -> Result<Engine> {
        let loaded = self.definitions_behind(kpi);
        let files = self.model().tables.iter().filter_map(|(name, table)| match &table.origin {
            Origin::Files { opened, .. } => Some((name.clone(), opened.clone())),
            Origin::Query { .. } => None,
        });
        let given = Given { rows: test.given.clone(), files: files.collect(), periods: self.model().periods.clone() };
        let context = session::without_tables(&self.context);
        let validated = validate_given(&loaded, &context, &given).await;
        // Whatever else is wrong without data, the KPI can be computed, or what is missing is told when it is asked.
        let is_known =
            validated.model.kpis.contains_key(kpi) || validated.model.skipped.iter().any(|skipped| skipped.kpi == kpi);
        if !is_known && let Some(error) = first_mistake(&loaded.sources, &validated.diagnostics, &test.place) {
            return Err(error);
        }
        let as_of = AsOf::end_of_given(test.as_of);
        Ok(Engine { loaded, validated, context, as_of, is_as_of_fixed: true, settings: self.settings.clone() })
    }

    /// The definitions that a KPI rests on. All others are taken for broken, so that nobody asks for them.
    fn definitions_behind(&self, kpi: &str) -> LoadedProject {
        let mut behind = LoadedProject { diagnostics: Vec::new(), ..self.loaded.clone() };
        let mut needed: BTreeSet<(DocumentKind, String)> = BTreeSet::from([(DocumentKind::Kpi, kpi.to_owned())]);
        let mut waiting: Vec<(DocumentKind, String)> = needed.iter().cloned().collect();
        while let Some(name) = waiting.pop() {
            let documents = behind.documents.iter().filter(|document| name_of(&document.document) == name);
            let mentioned: Vec<_> = documents.flat_map(|document| mentioned_in(&document.document)).collect();
            waiting.extend(mentioned.into_iter().filter(|name| needed.insert(name.clone())));
        }
        for document in std::mem::take(&mut behind.documents) {
            let (kind, name) = name_of(&document.document);
            if kind == DocumentKind::Project || needed.contains(&(kind, name.clone())) {
                behind.documents.push(document);
            } else {
                behind.broken.push(BrokenDocument { kind, name });
            }
        }
        for document in &mut behind.documents {
            // Up to the day of the test everything is known, whatever its rows say.
            if let Document::Table(table) = &mut document.document {
                table.freshness = None;
            }
        }
        behind
    }

    /// The tests of everything that `kpis` read, but for declared keys that nobody wrote a test for: a run looks at those
    /// that joins need.
    pub(super) async fn test_what_is_read(&self, context: &SessionContext, kpis: &BTreeSet<String>) -> Tested {
        let model = self.model();
        let tables: BTreeSet<String> = kpis.iter().flat_map(|name| tables_of(model, &model.kpis[name])).collect();
        let mut tested = Tested::default();
        for table in tables {
            let outcomes = self.test_table(context, &table, false).await;
            tested.tables.insert(table, outcomes);
        }
        tested
    }

    async fn test_table(&self, context: &SessionContext, table: &str, with_keys: bool) -> Vec<TestOutcome> {
        let model = self.model();
        let Some(written) = model.tests.tables.get(table) else { return Vec::new() };
        let tests: Vec<&DataTest> = written.tests.iter().filter(|test| with_keys || !test.is_of_key).collect();
        let verdicts = table_tests(context, model, table, &tests).await;
        let explained = async |verdict: Verdict| match verdict {
            Verdict::Broken { error } => {
                Verdict::Broken { error: explain(model, &BTreeSet::from([table.to_owned()]), error).await }
            }
            other => other,
        };
        let mut outcomes = Vec::with_capacity(tests.len());
        for (test, (verdict, _)) in tests.iter().zip(verdicts) {
            outcomes.push(TestOutcome {
                kind: TestKind::Data,
                subject: table.to_owned(),
                name: test.name.clone(),
                place: test.place.clone(),
                severity: test.severity,
                verdict: explained(verdict).await,
            });
        }
        outcomes.extend(written.skipped.iter().map(|test| skipped(TestKind::Data, table, test)));
        if let Some(freshness) = &written.freshness {
            let outcome = freshness_test(context, model, table, freshness, self.as_of).await;
            let verdict = explained(outcome.verdict).await;
            outcomes.push(TestOutcome { verdict, ..outcome });
        }
        outcomes
    }

    /// Computes the KPIs that something is asserted about, and looks whether it holds.
    async fn test_results(&self, kpis: &BTreeSet<String>) -> Vec<TestOutcome> {
        let model = self.model();
        let asserted = kpis.iter().filter(|name| model.tests.assertions.contains_key(*name)).cloned().collect();
        let waiting = kpis.iter().filter_map(|name| model.tests.skipped_assertions.get_key_value(name));
        let mut outcomes: Vec<TestOutcome> = waiting
            .flat_map(|(name, tests)| tests.iter().map(|test| skipped(TestKind::Assertion, name, test)))
            .collect();
        for (name, result) in self.values(&asserted).await {
            match result {
                Ok(result) => outcomes.extend(self.test_result(&result).await),
                Err(error) => {
                    let error = self.explain(&model.kpis[&name], error).await;
                    let broken = |assertion| outcome_of(&name, assertion, Verdict::Broken { error: error.again() });
                    outcomes.extend(model.tests.assertions[&name].iter().map(broken));
                }
            }
        }
        outcomes
    }

    /// What is asserted about a result.
    pub(super) async fn test_result(&self, result: &KpiResult) -> Vec<TestOutcome> {
        let mut outcomes = Vec::new();
        for assertion in self.model().tests.assertions.get(&result.kpi.name).into_iter().flatten() {
            let verdict = assertion_test(&self.context, result, assertion).await;
            outcomes.push(outcome_of(&result.kpi.name, assertion, verdict));
        }
        outcomes
    }

    /// The values of KPIs as a run would compute them.
    async fn values(&self, kpis: &BTreeSet<String>) -> Outcomes {
        let model = self.model();
        if kpis.is_empty() {
            return Vec::new();
        }
        let derived = with_derived_tables(&self.context, model, kpis).await;
        let context = &derived.context;
        let mut survey = survey(context, model, kpis, self.as_of, &FileDays::default()).await;
        survey.failed.extend(repeated_targets(context, model, kpis).await);
        let broken = broken_keys(context, model, kpis).await;
        let Sorted { ready, outcomes, .. } = self.sort_out(kpis, &survey, &broken);
        let mut outcomes: Outcomes = outcomes.into_iter().map(|(name, error)| (name, Err(error))).collect();
        let plan = plan::plan(model, Some(&ready), &BTreeMap::new());
        outcomes.extend(execute::execute_all(context, model, &plan, self.as_of.day, &survey.extents).await);
        outcomes
    }

    /// The KPIs and the tables that a selection names; with a KPI go the tables that it reads.
    fn selected_for_tests(&self, words: &[String]) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
        let model = self.model();
        let written: BTreeMap<&str, (&LoadedDocument, &KpiSpec)> = (self.loaded.documents.iter())
            .filter_map(|document| match &document.document {
                Document::Kpi(kpi) => Some((kpi.kpi.value.as_str(), (document, kpi))),
                Document::Project(_) | Document::Objective(_) | Document::Table(_) => None,
            })
            .collect();
        if words.is_empty() {
            let kpis = written.keys().map(|name| (*name).to_owned()).collect();
            return Ok((kpis, model.tests.tables.keys().cloned().collect()));
        }
        let mut kpis: BTreeSet<String> = BTreeSet::new();
        let mut tables: BTreeSet<String> = BTreeSet::new();
        for word in words {
            if let Some(table) = word.strip_prefix("table:") {
                tables.insert(self.written_table(table)?);
            } else if let Some(objective) = word.strip_prefix("objective:") {
                let before = kpis.len();
                let objectives = &model.objectives;
                let serves = |kpi: &KpiSpec| {
                    kpi.objective.as_ref().is_some_and(|name| with_larger(objectives, name).contains(&objective))
                };
                kpis.extend(written.values().filter(|(_, kpi)| serves(kpi)).map(|(_, kpi)| kpi.kpi.value.clone()));
                if kpis.len() == before {
                    return Err(self.unknown_objective(objective));
                }
            } else if let Some(tag) = word.strip_prefix("tag:") {
                let before = kpis.len();
                let has_tag = |(document, kpi): &(&LoadedDocument, &KpiSpec)| {
                    let named = kpi.tags.iter().flatten().map(|tag| tag.value.as_str());
                    named.chain(document.folder_tag.as_deref()).any(|known| known == tag)
                };
                kpis.extend(written.values().filter(|kpi| has_tag(kpi)).map(|(_, kpi)| kpi.kpi.value.clone()));
                if kpis.len() == before {
                    return Err(self.unknown_tag(tag));
                }
            } else if written.contains_key(word.as_str()) {
                kpis.insert(word.clone());
            } else {
                let error = Error::config(format!("there is no KPI `{word}`"));
                return Err(match (self.written_table(word), nearest(word, written.keys().copied())) {
                    (Ok(_), _) => error.with_hint(format!("for the table write `table:{word}`")),
                    (_, Some(near)) => error.with_hint(format!("did you mean `{near}`?")),
                    (_, None) => error.with_hint("`kpi ls` lists them"),
                });
            }
        }
        let ready = kpis.iter().filter_map(|name| model.kpis.get(name));
        tables.extend(ready.flat_map(|kpi| tables_of(model, kpi)));
        Ok((kpis, tables))
    }

    /// The name of a table, if a definition has it.
    fn written_table(&self, name: &str) -> Result<String> {
        let written = || {
            self.loaded.documents.iter().filter_map(|document| match &document.document {
                Document::Table(table) => Some(table.table.value.as_str()),
                Document::Project(_) | Document::Objective(_) | Document::Kpi(_) => None,
            })
        };
        if written().any(|known| known == name) {
            return Ok(name.to_owned());
        }
        let error = Error::config(format!("there is no table `{name}`"));
        Err(match nearest(name, written()) {
            Some(near) => error.with_hint(format!("did you mean `{near}`?")),
            None => error,
        })
    }
}

fn name_of(document: &Document) -> (DocumentKind, String) {
    match document {
        Document::Project(project) => (DocumentKind::Project, project.project.value.clone()),
        Document::Objective(objective) => (DocumentKind::Objective, objective.objective.value.clone()),
        Document::Table(table) => (DocumentKind::Table, table.table.value.clone()),
        Document::Kpi(kpi) => (DocumentKind::Kpi, kpi.kpi.value.clone()),
    }
}

/// The tables and KPIs that a definition names. Words of a value or a query that are no such names do no harm.
fn mentioned_in(document: &Document) -> Vec<(DocumentKind, String)> {
    let words = |text: &Spanned<String>| -> Vec<String> {
        let words = text.value.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        words.map(str::to_owned).collect()
    };
    let (mut tables, mut kpis): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    match document {
        Document::Project(_) | Document::Objective(_) => {}
        Document::Table(table) => {
            tables.extend(table.joins.iter().map(|(_, join)| join.table.value.clone()));
            tables.extend(table.query.iter().flat_map(words));
        }
        Document::Kpi(kpi) => {
            let target = kpi.target.as_ref();
            let conversion = kpi.conversion.as_ref().map(|conversion| &conversion.from);
            let named = [kpi.from.as_ref(), conversion, target.and_then(|target| target.table.as_ref())];
            tables.extend(named.into_iter().flatten().map(|name| name.value.clone()));
            tables.extend(kpi.query.iter().flat_map(words));
            kpis.extend(kpi.inputs.iter().map(|(_, input)| input.kpi.value.clone()));
            kpis.extend(kpi.composite.names().map(str::to_owned));
            kpis.extend(target.and_then(|target| target.kpi.as_ref()).map(|name| name.value.clone()));
            kpis.extend(kpi.value.iter().filter(|_| kpi.from.is_none()).flat_map(words));
        }
    }
    let tables = tables.into_iter().map(|name| (DocumentKind::Table, name));
    tables.chain(kpis.into_iter().map(|name| (DocumentKind::Kpi, name))).collect()
}

/// The first mistake that keeps a test from running, rather one in the file of the test.
fn first_mistake(sources: &Sources, diagnostics: &[Diagnostic], test: &Place) -> Option<Error> {
    let place = |mistake: &Diagnostic| {
        mistake.span.map(|span| Place {
            file: sources.get(span.file).path.clone(),
            line: sources.position(span.file, span.start).line,
        })
    };
    let mistakes = || diagnostics.iter().filter(|diagnostic| diagnostic.is_error());
    let is_beside = |mistake: &&Diagnostic| place(mistake).is_some_and(|place| place.file == test.file);
    let mistake = mistakes().find(is_beside).or_else(|| mistakes().next())?;
    let mut error = Error::config(mistake.message.clone());
    if let Some(place) = place(mistake) {
        error = error.with_context("at", place);
    }
    let text = "where there is no data, a column that the test does not give is text; give it in a row";
    let hint = mistake.hint.as_ref().map_or_else(|| text.to_owned(), |hint| format!("{hint}; {text}"));
    Some(error.with_hint(hint))
}

fn skipped(kind: TestKind, subject: &str, test: &SkippedTest) -> TestOutcome {
    TestOutcome {
        kind,
        subject: subject.to_owned(),
        name: test.name.clone(),
        place: test.place.clone(),
        severity: TestSeverity::Warn,
        verdict: Verdict::Skipped { reason: test.reason.clone() },
    }
}

fn outcome_of(kpi: &str, assertion: &Assertion, verdict: Verdict) -> TestOutcome {
    TestOutcome {
        kind: TestKind::Assertion,
        subject: kpi.to_owned(),
        name: assertion.name.clone(),
        place: assertion.place.clone(),
        severity: assertion.severity,
        verdict,
    }
}

/// Why an audit that failed keeps a KPI from being published, and how many tests failed beside it.
pub(super) fn reason(failure: &Audit, audits: &[Audit]) -> String {
    let is_failed_test = |audit: &&Audit| audit.name == TESTS && audit.status == AuditStatus::Failed;
    let others = audits.iter().filter(is_failed_test).count() - usize::from(failure.name == TESTS);
    let others = match others {
        0 => String::new(),
        1 => "; another test failed as well, see `kpi test`".to_owned(),
        many => format!("; {many} other tests failed as well, see `kpi test`"),
    };
    let what = match failure.name.as_str() {
        TESTS => "a test failed",
        FRESHNESS => "its data is late",
        other => other,
    };
    format!("{what}: {}{others}", failure.detail.clone().unwrap_or_default())
}

/// What tests of the data found, by table.
#[derive(Debug, Default)]
pub(super) struct Tested {
    tables: BTreeMap<String, Vec<TestOutcome>>,
}

impl Tested {
    /// What was found of some tables and of the result of a KPI that reads them, as audits of the KPI. The cause comes
    /// before what follows from it, and the age of the data last.
    pub fn audits(&self, tables: &BTreeSet<String>, of_result: &[TestOutcome]) -> Vec<Audit> {
        let of_tables = self.tables.iter().filter(|(table, _)| tables.contains(*table));
        let mut found: Vec<Audit> = of_tables.flat_map(|(_, outcomes)| audits(outcomes)).collect();
        found.extend(audits(of_result));
        found.sort_by_key(|audit| audit.name == FRESHNESS);
        found
    }
}

/// What tests of one subject found, as audits: those that passed together, all others one by one.
fn audits(outcomes: &[TestOutcome]) -> Vec<Audit> {
    let mut audits = Vec::new();
    let mut passed = outcomes.iter().filter(|outcome| matches!(outcome.verdict, Verdict::Passed)).peekable();
    if let Some(subject) = passed.peek().map(|outcome| outcome.subject.clone()) {
        let detail = Some(format!("{} of `{subject}` passed", passed.count()));
        audits.push(Audit { name: TESTS.into(), status: AuditStatus::Passed, detail });
    }
    for outcome in outcomes {
        let status = match &outcome.verdict {
            Verdict::Passed => continue,
            Verdict::Skipped { .. } => AuditStatus::Skipped,
            Verdict::Failed(_) | Verdict::Broken { .. } if outcome.is_error() => AuditStatus::Failed,
            Verdict::Failed(_) | Verdict::Broken { .. } => AuditStatus::Warned,
        };
        let is_age = outcome.kind == TestKind::Freshness && matches!(outcome.verdict, Verdict::Failed(_));
        let name = if is_age { FRESHNESS } else { TESTS };
        audits.push(Audit { name: name.into(), status, detail: Some(outcome.in_one_line()) });
    }
    audits
}
