//! The whole pipeline in one place: from the files of a project to published results. Read this file first.
//!
//! Each method is a story told in the stages' own words. Nothing here prints, and nothing decides what a value means.

mod candidate;
mod changes;
mod derived;
mod doctor;
mod inputs;
mod judge;
mod patch;
mod planned;
mod preview;
mod testing;
mod unchanged;
mod versions;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{NaiveDate, Utc};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::unparser::Unparser;
use datafusion::sql::unparser::dialect::DefaultDialect;
use futures::{StreamExt, stream};
use tokio::sync::{Notify, mpsc};

use crate::audit::{NOT_EMPTY, audit};
use crate::catalog;
use crate::compile::{Bounds, Cell, Compiler, Members, TableLeaves, Way, result_plan, shown_plan};
use crate::days::DayRanges;
use crate::diagnostic::{Diagnostic, Sources, nearest};
use crate::error::{Error, ErrorKind, Result};
use crate::execute::{self, Listener, query_error};
use crate::load::{self, LoadedProject};
use crate::location::Location;
use crate::model::{Earlier, Kpi, Model, Origin, Placement, Shape, Skipped, Subject, Window, below};
use crate::plan;
use crate::report::{self, KPI_VALUES, Scorecard};
use crate::session::{self, SessionOptions};
use crate::spec::Document;
use crate::store::{
    AuditStatus, Commit, CommitOutcome, EventListener, LogRecord, ManifestEvent, Phase, Run, RunInfo, Status, Store,
    Summary,
};
use crate::survey::{AsOf, FileDays, Partner, Survey, broken_keys, partners, repeated_targets, survey, tables_of};
use crate::time::Grain;
use crate::validate::{UNREACHABLE_SOURCE, Validated, advice, validate};
use candidate::make_ready;
use derived::with_derived_tables;
pub use doctor::{Examination, KpiState, Missing, OutputState, TableState};
use inputs::Inputs;
use judge::{Found, Judge, Judged};
pub use planned::{Planned, PlannedKpi};
pub use preview::{Changed, Preview, Read, Scan, ScanKind};
pub use testing::{Only, TestOptions, TestReport};
use unchanged::Unchanged;
pub use versions::{KpiDifference, Reason, RolledBack, TableDifference, Unfinished, VersionDifference};

/// Which project, and how it runs.
#[derive(Debug, Clone, Default)]
pub struct EngineOptions {
    /// The folder that holds `kpis/`.
    pub project: PathBuf,
    pub session: SessionOptions,
    /// The day from which the run looks. Default: now, in the project's time zone.
    pub as_of: Option<AsOf>,
    /// Settings of the project that have another value this time.
    pub settings: BTreeMap<String, String>,
}

/// A project, loaded and validated.
pub struct Engine {
    loaded: LoadedProject,
    validated: Validated,
    context: SessionContext,
    as_of: AsOf,
    /// Settings that are not as the project says.
    settings: BTreeMap<String, String>,
}

/// What `kpi show` and `kpi sql` are asked.
#[derive(Debug, Clone, Default)]
pub struct Question {
    pub kpi: String,
    /// Dimensions, columns or paths through joins.
    pub by: Vec<String>,
    /// Default: the first that the KPI names.
    pub grain: Option<Grain>,
    /// The first day of interest; the period that it lies in is the first one shown.
    pub since: Option<NaiveDate>,
}

/// The values asked for, with all columns that published rows have.
#[derive(Debug, Clone)]
pub struct Answer {
    pub kpi: Arc<Kpi>,
    pub cell: Cell,
    pub schema: SchemaRef,
    pub rows: RecordBatch,
}

/// What a run is asked.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// KPI names, `tag:` and `objective:` words; none means all.
    pub select: Vec<String>,
    /// Whether the first failure keeps everything from being published.
    pub fail_fast: bool,
    /// Whether KPIs are computed although nothing that they rest on has changed.
    pub force: bool,
    /// Days whose periods are computed although nothing that they rest on has changed.
    pub days: DayRanges,
    /// Whether nothing is published, and the report says what would be different.
    pub dry_run: bool,
    /// What the run was planned to do; if it would do anything else, it does nothing.
    pub plan: Option<Planned>,
    /// Notified when the run shall stop.
    pub stop: Arc<Notify>,
    /// Who is told of each step, as it goes into the run's manifest.
    pub events: EventListener,
}

/// What a run did.
#[derive(Debug)]
pub struct RunReport {
    pub run_id: String,
    /// The version in the log that holds the results, if they are published.
    pub version: Option<u64>,
    /// Whether this run made that version.
    pub is_new: bool,
    /// Whether a failure kept the others from being published, as `--fail-fast` asks.
    pub is_held_back: bool,
    pub kpis: Vec<(String, KpiOutcome)>,
    /// KPIs that the version before had and no definition has any more.
    pub removed: Vec<String>,
    /// KPIs that are not in the new version since their files are gone or damaged.
    pub lost: Vec<String>,
    pub skipped: Vec<Skipped>,
    pub scorecard: Scorecard,
    /// How the values that were computed differ from those that are published, of a run that publishes nothing.
    pub rehearsal: Option<VersionDifference>,
    /// Where the results lie.
    pub output: Location,
    /// Why the plain copies lag behind the log, if they do.
    pub unpublished: Option<Error>,
    pub elapsed: Duration,
}

/// What became of one KPI in a run.
#[derive(Debug)]
pub enum KpiOutcome {
    Published {
        rows: usize,
        /// Whether only the periods were computed that changed data touches, and the others are as they were published.
        is_in_part: bool,
        warnings: Vec<String>,
        changes: Option<String>,
    },
    /// Published by an earlier run. Neither its definition nor its data has changed since, and it is the same day.
    Unchanged {
        rows: usize,
        warnings: Vec<String>,
    },
    /// Computed, and kept from being published.
    Withheld {
        reason: String,
        /// Whether the data is too old, and nothing else is wrong.
        is_late: bool,
    },
    Failed {
        error: Error,
    },
}

impl KpiOutcome {
    /// Whether its values are published, and those that belong to the definitions and the data as they are.
    pub fn is_up_to_date(&self) -> bool {
        match self {
            KpiOutcome::Published { .. } | KpiOutcome::Unchanged { .. } => true,
            KpiOutcome::Withheld { .. } | KpiOutcome::Failed { .. } => false,
        }
    }

    fn is_late(&self) -> bool {
        matches!(self, KpiOutcome::Withheld { is_late: true, .. })
    }
}

impl RunReport {
    /// 0 if all is published, 3 if only late data is not, 1 if nothing is, 6 if a part is, 4 if the plain copies could
    /// not be written.
    pub fn exit_code(&self) -> u8 {
        let count = |has: &dyn Fn(&KpiOutcome) -> bool| self.kpis.iter().filter(|(_, outcome)| has(outcome)).count();
        let has_failed = |kind: ErrorKind| {
            count(&|outcome| matches!(outcome, KpiOutcome::Failed { error } if error.kind() == kind)) > 0
        };
        let good = count(&KpiOutcome::is_up_to_date);
        let late = count(&KpiOutcome::is_late);
        let all = self.kpis.len();
        match () {
            () if late > 0 && good + late == all && self.unpublished.is_none() => 3,
            () if good == all && self.unpublished.is_none() => 0,
            () if good == all => 4,
            () if good > 0 && !self.is_held_back => 6,
            () if has_failed(ErrorKind::Internal) => 101,
            () if has_failed(ErrorKind::Storage) => 4,
            () => 1,
        }
    }
}

impl Engine {
    /// Loads and validates a project. Mistakes in it are [`Engine::diagnostics`]; what has none can be used.
    ///
    /// # Errors
    /// `Config` where there is no project or no such setting, `Storage` where the session cannot be opened.
    pub async fn open(options: &EngineOptions) -> Result<Engine> {
        let mut loaded = load::load(&options.project)?;
        load::override_settings(&mut loaded, &options.settings)?;
        let context = session::open(&options.session)?;
        let validated = validate(&loaded, &context).await;
        let today = || AsOf::during(validated.model.project.calendar.local_date(Utc::now()));
        let as_of = options.as_of.unwrap_or_else(today);
        Ok(Engine { loaded, validated, context, as_of, settings: options.settings.clone() })
    }

    /// Every mistake in the project's files.
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        // Several definitions may stand on the same slip.
        let mut told = HashSet::new();
        let all = self.loaded.diagnostics.iter().chain(&self.validated.diagnostics);
        all.filter(|diagnostic| told.insert((diagnostic.code, diagnostic.span, &diagnostic.message))).cloned().collect()
    }

    /// What could be said better in definitions that have no mistake; nothing where one has. `as_of` is the day from which
    /// ended targets and old benchmarks are looked at; without it nothing is said of them, so that the answer does not
    /// change by itself.
    pub fn advice(&self, as_of: Option<NaiveDate>) -> Vec<Diagnostic> {
        match self.diagnostics().iter().any(Diagnostic::is_error) {
            true => Vec::new(),
            false => advice(&self.loaded, &self.validated, as_of),
        }
    }

    /// The files that diagnostics point into.
    pub fn sources(&self) -> &Sources {
        &self.loaded.sources
    }

    /// The tables and KPIs that can run.
    pub fn model(&self) -> &Model {
        &self.validated.model
    }

    /// The session in which the project's tables are registered, for queries of one's own.
    pub fn context(&self) -> &SessionContext {
        &self.context
    }

    /// The day up to which data counts.
    pub fn as_of(&self) -> AsOf {
        self.as_of
    }

    /// Computes a KPI and publishes nothing.
    ///
    /// # Errors
    /// `Config` where the question cannot be answered, else as the query fails.
    pub async fn show(&self, question: &Question) -> Result<Answer> {
        let Prepared { model, kpi, cell, survey, since, bounds } = self.prepare(question).await?;
        // In a test, tables that are not given are empty, and mean it.
        if let Some(error) = self.without_rows(&model, &kpi, &survey).filter(|_| !self.as_of.is_all_known) {
            return Err(error);
        }
        let plans = |way| -> Result<Vec<(Cell, LogicalPlan)>> {
            let leaves = TableLeaves { model: &model, bounds: bounds.clone(), way, rows: None };
            let extents = &survey.extents;
            let compiler = Compiler { model: &model, leaves: &leaves, extents, days: None, members: &Members::new() };
            let plan = result_plan(&compiler, &kpi, &cell, None).map_err(query_error)?;
            let plan = match since {
                Some(since) => crate::compile::since(plan, since).map_err(query_error)?,
                None => plan,
            };
            Ok(vec![(cell.clone(), plan)])
        };
        let result = execute::compute(&self.context, &kpi, plans).await;
        let result = match result {
            Ok(result) => result,
            Err(error) => return Err(self.explain(&kpi, error).await),
        };
        // What a run would not publish is not shown either.
        let audits = audit(&result, None, result.rows.num_rows(), None)?;
        let failure = audits.iter().find(|audit| audit.status == AuditStatus::Failed && audit.name != NOT_EMPTY);
        if let Some(failure) = failure {
            let detail = failure.detail.clone().unwrap_or_default();
            return Err(Error::execution(format!("`{}` cannot be shown: {}: {detail}", kpi.name, failure.name)));
        }
        Ok(Answer { kpi, cell, schema: result.schema, rows: result.rows })
    }

    /// The SQL that DataFusion runs for a KPI, over the tables by their names.
    ///
    /// # Errors
    /// `Config` where the question cannot be answered, else as the survey of the data fails.
    pub async fn sql(&self, question: &Question) -> Result<String> {
        let Prepared { model, kpi, cell, survey, since, bounds } = self.prepare(question).await?;
        let leaves = TableLeaves { model: &model, bounds, way: Way::Names, rows: None };
        let compiler =
            Compiler { model: &model, leaves: &leaves, extents: &survey.extents, days: None, members: &Members::new() };
        let plan = shown_plan(&compiler, &kpi, &cell, since).map_err(query_error)?;
        let dialect = DefaultDialect {};
        let statement = Unparser::new(&dialect).plan_to_sql(&plan).map_err(query_error)?;
        let options = sqlformat::FormatOptions { uppercase: Some(true), ..Default::default() };
        Ok(sqlformat::format(&statement.to_string(), &sqlformat::QueryParams::None, &options))
    }

    /// Computes the selected KPIs, audits them, and publishes them together.
    ///
    /// # Errors
    /// `Config` where the project has mistakes or the selection names nothing, `Storage`, `Conflict` and `Interrupted` as
    /// they come. What was published before is untouched then. A KPI that fails by itself is in the report instead.
    pub async fn run(&self, options: &RunOptions, listener: Listener<'_>) -> Result<RunReport> {
        let started = Instant::now();
        self.refuse_mistakes()?;
        let model = self.model();
        let selected = self.select(&options.select)?;

        let store = self.store()?;
        let info = RunInfo {
            listener: options.events.clone(),
            dry_run: options.dry_run,
            force: options.force,
            days: options.days.clone(),
            ..self.run_info(&selected)
        };
        let mut run = store.begin(info).await?;
        let inputs = Inputs::pin(model);
        let judged = self.computed_and_judged(&store, &mut run, options, &selected, &inputs, listener).await;
        match judged {
            Ok(judged) => self.publish(run, options, judged, &inputs, started).await,
            Err(error) => {
                run.abandon(error.message()).await;
                Err(error)
            }
        }
    }

    /// Computes what has changed, and audits it.
    async fn computed_and_judged(
        &self,
        store: &Store,
        run: &mut Run,
        options: &RunOptions,
        selected: &BTreeSet<String>,
        inputs: &Inputs,
        listener: Listener<'_>,
    ) -> Result<Judged> {
        run.event(&ManifestEvent::new(Phase::Inputs, Status::Done).rows(inputs.count())).await?;
        let unchanged = match options.force || !options.days.is_empty() {
            true => BTreeMap::new(),
            false => self.unchanged(store, run.parent(), inputs, selected).await?,
        };
        let changed: BTreeSet<String> =
            selected.iter().filter(|name| !unchanged.contains_key(*name)).cloned().collect();
        if let Some(plan) = &options.plan {
            let removed = self.removals(options, run.parent());
            plan.still_holds(self.model(), run.parent(), inputs, &changed, &removed)?;
        }
        let mut judged = Judged::default();
        if !changed.is_empty() {
            let work = self.compute(store, run, &changed, inputs, options, listener);
            judged = tokio::select! {
                judged = work => judged?,
                () = options.stop.notified() => {
                    return Err(Error::new(ErrorKind::Interrupted, "the run was stopped before it published anything"));
                }
            };
        }
        for (name, Unchanged { outcome, row }) in unchanged {
            run.event(&ManifestEvent::new(Phase::Execute, Status::Skipped).kpi(&name).reason("unchanged")).await?;
            judged.outcomes.insert(name, outcome);
            judged.scorecard.rows.push(row);
        }
        let place = |row: &report::ScorecardRow| self.model().order.iter().position(|name| *name == row.kpi);
        judged.scorecard.rows.sort_by_cached_key(place);
        Ok(judged)
    }

    /// Looks at the data, tests it, computes each KPI, and audits it as soon as it is there.
    async fn compute(
        &self,
        store: &Store,
        run: &mut Run,
        selected: &BTreeSet<String>,
        inputs: &Inputs,
        options: &RunOptions,
        listener: Listener<'_>,
    ) -> Result<Judged> {
        let model = self.model();
        let head = store.head().await?;
        let before = head.as_ref().filter(|_| !options.force);
        let mut files = before.map(|head| Inputs::known_days(model, head)).unwrap_or_default();
        let derived = beating(run, with_derived_tables(&self.context, model, selected)).await;
        let context = &derived.context;
        let mut survey = survey(context, model, selected, self.as_of, &files).await;
        files.extend(&survey.files);
        files.retain(model);
        survey.failed.extend(repeated_targets(context, model, selected).await);
        let broken = broken_keys(context, model, selected).await;
        let tested = beating(run, self.test_what_is_read(context, selected)).await;

        let Sorted { ready, outcomes, without_rows } = self.sort_out(selected, &survey, &broken);
        let kept = self.kept(store, before, inputs, &survey, &ready, &options.days).await?;
        let mut found = Found { survey, without_rows, tested, head, kept };
        let mut judged = Judged { files, ..Judged::default() };
        let mut first = self.judge(inputs, &found, judged);
        for (name, error) in outcomes {
            first.judge(run, (name, Err(error))).await?;
        }
        judged = first.judged;
        let mut waiting = ready;
        while !waiting.is_empty() {
            judged = self
                .compute_and_judge(context, store, run, &waiting, self.judge(inputs, &found, judged), listener)
                .await?;
            // What could not be patched is computed as a whole.
            waiting = std::mem::take(&mut judged.again);
            found.kept.periods.retain(|name, _| !waiting.contains(name));
            found.kept.members.retain(|name, _| !waiting.contains(name));
        }
        let mut last = self.judge(inputs, &found, judged);
        last.withhold_what_moved(run).await?;
        Ok(last.judged)
    }

    fn judge<'a>(&'a self, inputs: &'a Inputs, found: &'a Found, judged: Judged) -> Judge<'a> {
        Judge { engine: self, inputs, found, judged }
    }

    /// Computes KPIs, and audits each as soon as it is there.
    async fn compute_and_judge<'a>(
        &self,
        context: &SessionContext,
        store: &Store,
        run: &mut Run,
        kpis: &BTreeSet<String>,
        mut judge: Judge<'a>,
        listener: Listener<'_>,
    ) -> Result<Judged> {
        let model = self.model();
        let found = judge.found;
        let mut run_plan = plan::plan(model, Some(kpis), &found.kept.periods);
        run_plan.members = found.kept.members.clone();
        run.event(&ManifestEvent::new(Phase::Plan, Status::Done).rows(run_plan.passes.len() as u64)).await?;
        // Few results wait for their audits, so that few of them are in memory at once.
        let (sender, mut results) = mpsc::channel(1);
        let computing =
            execute::execute(context, model, &run_plan, self.as_of.day, &found.survey.extents, listener, sender);
        let side_by_side = context.state().config().target_partitions().max(1);
        let stager = run.stager();
        let judging = async {
            let ready = stream::poll_fn(|waiting| results.poll_recv(waiting))
                .map(|outcome| make_ready(self, store, stager.clone(), found, outcome));
            let mut ready = pin!(ready.buffered(side_by_side));
            let mut tick = tokio::time::interval(BEAT);
            loop {
                tokio::select! {
                    ready = ready.next() => match ready {
                        Some(ready) => judge.judge(run, ready?).await?,
                        None => break Ok(()),
                    },
                    _ = tick.tick() => run.heartbeat().await,
                }
            }
        };
        // A result that cannot be written ends the computation with it.
        let (_, judging) = futures::join!(computing, judging);
        judging?;
        Ok(judge.judged)
    }

    /// The KPIs that can be computed, and the reasons why the others cannot.
    fn sort_out(&self, selected: &BTreeSet<String>, survey: &Survey, broken: &BTreeMap<Partner, Error>) -> Sorted {
        let model = self.model();
        let mut sorted = Sorted::default();
        for name in selected {
            let everything = below(model, &BTreeSet::from([name.clone()]));
            let broken_key =
                everything.iter().find_map(|kpi| partners(model, kpi).iter().find_map(|partner| broken.get(partner)));
            let unread = everything.iter().find_map(|kpi| survey.failed.get(&kpi.name));
            // Of what could not be read nobody knows whether it has rows.
            if let Some(error) = unread.or(broken_key) {
                sorted.outcomes.push((name.clone(), error.again()));
            } else if let Some(error) = self.without_rows(model, &model.kpis[name], survey) {
                sorted.without_rows.insert(name.clone());
                sorted.outcomes.push((name.clone(), error));
            } else {
                sorted.ready.insert(name.clone());
            }
        }
        sorted
    }

    /// What to say of a KPI whose data has no row at all.
    fn without_rows(&self, model: &Model, kpi: &Kpi, survey: &Survey) -> Option<Error> {
        let everything = below(model, &BTreeSet::from([kpi.name.clone()]));
        let is_empty = |kpi: &&Kpi| kpi.value_inputs().is_empty() && !survey.extents.contains_key(&kpi.name);
        let empty = everything.into_iter().find(is_empty)?;
        let message = format!("no row behind `{}` lies in a period up to {}", empty.name, self.as_of.day);
        Some(Error::execution(message).with_hint("check the `time` column and the files of the table"))
    }

    /// One record in the log switches all KPIs of the run together.
    async fn publish(
        &self,
        run: Run,
        options: &RunOptions,
        mut judged: Judged,
        inputs: &Inputs,
        started: Instant,
    ) -> Result<RunReport> {
        let model = self.model();
        let is_whole = options.select.is_empty();
        let is_held_back = options.fail_fast && !judged.outcomes.values().all(KpiOutcome::is_up_to_date);
        if is_held_back {
            let mut others = judged.outcomes.values().filter(|outcome| !outcome.is_up_to_date());
            let is_late = others.all(KpiOutcome::is_late);
            judged.candidates.clear();
            let is_unchanged = |name: &str| matches!(judged.outcomes.get(name), Some(KpiOutcome::Unchanged { .. }));
            judged.scorecard.rows.retain(|row| is_unchanged(&row.kpi));
            for outcome in
                judged.outcomes.values_mut().filter(|outcome| matches!(outcome, KpiOutcome::Published { .. }))
            {
                let reason = "another KPI failed, and `--fail-fast` is on".into();
                *outcome = KpiOutcome::Withheld { reason, is_late };
            }
        }
        let run_id = run.id().to_owned();
        let without_rows = judged.skipped.iter().map(|(kpi, reason)| Skipped {
            kpi: kpi.clone(),
            reason: reason.clone(),
            needs: BTreeMap::new(),
            reads: model.kpis[kpi].reads.clone(),
        });
        let parent = run.parent().filter(|_| is_whole);
        let (lapsed, skipped): (Vec<&Skipped>, Vec<&Skipped>) = (model.skipped.iter())
            .partition(|skipped| parent.is_some_and(|parent| parent.kpis.contains_key(&skipped.kpi)));
        let lapsed = lapsed.into_iter().map(|lapsed| {
            let reason = format!("its last values stay published, and {}", lapsed.reason);
            (lapsed.kpi.clone(), KpiOutcome::Withheld { reason, is_late: false })
        });
        let kpis = model.order.iter().filter_map(|name| judged.outcomes.remove_entry(name)).chain(lapsed).collect();
        let mut report = RunReport {
            run_id,
            version: None,
            is_new: false,
            is_held_back,
            kpis,
            removed: Vec::new(),
            lost: Vec::new(),
            skipped: skipped.into_iter().cloned().chain(without_rows).collect(),
            scorecard: judged.scorecard,
            rehearsal: None,
            output: model.project.output.clone(),
            unpublished: None,
            elapsed: started.elapsed(),
        };
        let removals = self.removals(options, run.parent());
        let is_up_to_date = report.kpis.iter().all(|(_, outcome)| outcome.is_up_to_date());
        if judged.candidates.is_empty() && is_up_to_date && removals.is_empty() {
            report.version = run.parent().map(|parent| parent.version);
            run.finish().await;
            report.elapsed = started.elapsed();
            return Ok(report);
        }
        if judged.candidates.is_empty() && !is_up_to_date {
            run.abandon("no KPI could be published").await;
            return Ok(report);
        }
        let summary = Summary {
            name: KPI_VALUES.into(),
            fingerprint: "long form 1".into(),
            schema: report::kpi_values_schema(),
            build: Box::new(report::kpi_values),
        };
        let removed = removals.clone();
        let commit = Commit {
            candidates: judged.candidates,
            removals,
            inputs: inputs.records(model, &judged.files),
            summary: Some(summary),
        };
        if options.dry_run {
            let rehearsed = self.rehearse(&run, commit).await;
            run.abandon("it was to publish nothing").await;
            report.rehearsal = rehearsed?;
            report.elapsed = started.elapsed();
            return Ok(report);
        }
        match run.commit(commit).await? {
            CommitOutcome::Committed { record, unpublished } | CommitOutcome::AlreadyThere { record, unpublished } => {
                report.version = Some(record.version);
                (report.removed, report.lost) = record.removed.into_iter().partition(|kpi| removed.contains(kpi));
                report.is_new = true;
                report.unpublished = unpublished;
            }
            CommitOutcome::Lost { by, contested } => {
                let message = format!(
                    "run {} published {} first, from other data or definitions",
                    by.run_id,
                    contested.join(", ")
                );
                return Err(Error::new(ErrorKind::Conflict, message).with_hint("run again to publish on top of it"));
            }
        }
        report.elapsed = started.elapsed();
        Ok(report)
    }

    /// The KPIs that a run over everything takes away, since no definition has them any more.
    fn removals(&self, options: &RunOptions, parent: Option<&LogRecord>) -> Vec<String> {
        let Some(parent) = parent.filter(|_| options.select.is_empty()) else { return Vec::new() };
        let model = self.model();
        // What is written is defined, whatever became of it.
        let is_defined = |name: &str| model.kpis.contains_key(name) || self.is_written(name);
        parent.kpis.keys().filter(|name| *name != KPI_VALUES && !is_defined(name)).cloned().collect()
    }

    /// Whether a file defines a KPI of this name, with mistakes or without.
    fn is_written(&self, name: &str) -> bool {
        let is_it = |document: &Document| matches!(document, Document::Kpi(kpi) if kpi.kpi.value == name);
        let is_read = self.loaded.documents.iter().any(|document| is_it(&document.document));
        is_read || self.loaded.broken.iter().any(|broken| broken.name == name)
    }

    fn run_info(&self, selected: &BTreeSet<String>) -> RunInfo {
        RunInfo {
            program: format!("kpi {}", env!("CARGO_PKG_VERSION")),
            as_of: Some(self.as_of.to_string()),
            kpis: selected.iter().cloned().collect(),
            settings: self.settings.clone(),
            ..RunInfo::default()
        }
    }

    /// Where the project's document has a mistake, nobody knows where data and results are meant to lie, or what a day is.
    fn refuse_unsound_project(&self) -> Result<()> {
        match self.model().project.is_sound {
            true => Ok(()),
            false => Err(Error::config("the project's document has a mistake, so nothing else counts")
                .with_hint("`kpi check` shows it")),
        }
    }

    /// Why nothing can be said, if all that is wrong is that a store cannot be reached.
    pub fn unreachable(&self) -> Option<Error> {
        let diagnostics = self.diagnostics();
        let mut errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).peekable();
        let first = errors.peek()?.message.clone();
        let is_unreachable = errors.all(|error| error.code == UNREACHABLE_SOURCE);
        is_unreachable.then(|| Error::storage("what tables read cannot be reached").with_context("reason", first))
    }

    fn refuse_mistakes(&self) -> Result<()> {
        if self.unreachable().is_some() {
            return Err(Error::storage("what tables read cannot be reached, so nothing ran"));
        }
        match self.diagnostics().iter().filter(|diagnostic| diagnostic.is_error()).count() {
            0 => Ok(()),
            1 => Err(Error::config("the definitions have a mistake, so nothing ran")),
            count => Err(Error::config(format!("the definitions have {count} mistakes, so nothing ran"))),
        }
    }

    /// The KPIs that a selection names: by name, by `tag:` or by `objective:`, with which go those that it is made of. Nothing
    /// selects all that can run.
    ///
    /// # Errors
    /// `Config` where a word names nothing, or a KPI that cannot run.
    pub fn select(&self, words: &[String]) -> Result<BTreeSet<String>> {
        let model = self.model();
        if words.is_empty() {
            if model.defined().next().is_none() {
                if let Some(error) = self.unreachable() {
                    return Err(error);
                }
                let mut error = Error::config("there is no KPI that can run");
                if let Some(skipped) = model.skipped.first() {
                    error = error.with_context("skipped", format!("`{}`: {}", skipped.kpi, skipped.reason));
                }
                return Err(error);
            }
            return Ok(model.defined().map(|kpi| kpi.name.clone()).collect());
        }
        let mut selected = BTreeSet::new();
        for word in words {
            selected.extend(match word.split_once(':') {
                Some(("tag", tag)) => {
                    self.having(|kpi| kpi.tags.iter().any(|known| known == tag)).ok_or_else(|| self.unknown_tag(tag))?
                }
                Some(("objective", name)) => self
                    .having(|kpi| model.objectives_of(kpi).contains(&name))
                    .ok_or_else(|| self.unknown_objective(name))?,
                _ => BTreeSet::from([self.find(word)?.name.clone()]),
            });
        }
        Ok(selected)
    }

    /// The KPIs that have something, if any has.
    fn having(&self, has: impl Fn(&Kpi) -> bool) -> Option<BTreeSet<String>> {
        let found: BTreeSet<String> =
            self.model().defined().filter(|kpi| has(kpi)).map(|kpi| kpi.name.clone()).collect();
        (!found.is_empty()).then_some(found)
    }

    fn unknown_objective(&self, name: &str) -> Error {
        let model = self.model();
        let served: BTreeSet<&str> = model.defined().flat_map(|kpi| model.objectives_of(kpi)).collect();
        let message = match model.objectives.contains_key(name) {
            true => format!("no KPI that can run serves the objective `{name}`"),
            false => format!("there is no objective `{name}`"),
        };
        let error = Error::config(message);
        match nearest(name, served.iter().copied()) {
            Some(near) => error.with_hint(format!("did you mean `objective:{near}`?")),
            None if served.is_empty() => error.with_hint("no KPI names an objective; `kpi ls` lists them by name"),
            None => error.with_hint(format!("the objectives are {}", Vec::from_iter(served).join(", "))),
        }
    }

    fn unknown_tag(&self, tag: &str) -> Error {
        let tags = self.model().defined().flat_map(|kpi| kpi.tags.iter().map(String::as_str));
        let tags: Vec<&str> = tags.collect::<BTreeSet<&str>>().into_iter().collect();
        let hint = match tags.as_slice() {
            [] => "no KPI has tags; `kpi ls` lists them by name".to_owned(),
            tags => format!("the tags are {}", tags.join(", ")),
        };
        Error::config(format!("no KPI has the tag `{tag}`")).with_hint(hint)
    }

    fn find(&self, name: &str) -> Result<&Arc<Kpi>> {
        let model = self.model();
        if let Some(kpi) = model.kpis.get(name).filter(|kpi| kpi.variant_of.is_none()) {
            return Ok(kpi);
        }
        if let Some(skipped) = model.skipped.iter().find(|skipped| skipped.kpi == name) {
            return Err(Error::config(format!("`{name}` cannot run: {}", skipped.reason)));
        }
        if self.is_written(name) {
            if let Some(error) = self.unreachable() {
                return Err(error);
            }
            return Err(Error::config(format!("the definition of `{name}`, or of what it needs, has mistakes"))
                .with_hint("run `kpi check` to see them"));
        }
        let error = Error::config(format!("there is no KPI `{name}`"));
        Err(match nearest(name, model.defined().map(|kpi| kpi.name.as_str())) {
            Some(near) => error.with_hint(format!("did you mean `{near}`?")),
            None => error.with_hint("`kpi ls` lists them"),
        })
    }

    /// What a question means, and what must be known of the data before it is answered.
    async fn prepare(&self, question: &Question) -> Result<Prepared> {
        self.refuse_unsound_project()?;
        let (model, kpi, cell) = self.understand(question)?;
        let survey = self.look_at(&model, &kpi).await?;
        let since = self.first_period(&model, question, &cell);
        let days = since.filter(|_| !looks_back(&model, &kpi)).map_or_else(DayRanges::all, DayRanges::since);
        let bounds = Bounds { days, until: self.as_of.day };
        Ok(Prepared { model, kpi, cell, survey, since, bounds })
    }

    /// The model, the KPI and the cell that a question means.
    fn understand(&self, question: &Question) -> Result<(Model, Arc<Kpi>, Cell)> {
        let kpi = self.find(&question.kpi)?;
        let grain = question.grain.or(kpi.grains.first().copied()).unwrap_or(Grain::Month);
        if let Some((name, minimum)) = minimum_grain(self.model(), kpi).filter(|(_, minimum)| grain < *minimum) {
            let whose = if name == kpi.name { "it".to_owned() } else { format!("`{name}`") };
            return Err(Error::config(format!(
                "`{}` says nothing by {grain}: {whose} has `minimum_grain: {minimum}`",
                kpi.name
            ))
            .with_hint(format!("ask for `--grain {minimum}`")));
        }
        if let Some(finest) = kpi.grains.iter().min().filter(|finest| grain < **finest) {
            return Err(Error::config(format!(
                "`{}` is not meant to be read by {grain}; its finest grain is {finest}",
                kpi.name
            ))
            .with_hint(format!("ask for `--grain {finest}`, or add {grain} to its `grains`")));
        }
        if let Some(reason) = why_not_at(self.model(), kpi, grain) {
            return Err(Error::config(reason).with_hint("ask for one of the grains that it names"));
        }
        let mut by: Vec<String> = Vec::new();
        question.by.iter().for_each(|name| {
            if !by.contains(name) {
                by.push(name.clone())
            }
        });
        let missing: Vec<&str> = (kpi.required_dimensions.iter().map(String::as_str))
            .filter(|name| !by.iter().any(|known| known == name))
            .collect();
        if !missing.is_empty() && question.by.is_empty() {
            // Without a word from the user, the dimensions that it must have are the ones meant.
            by.extend(missing.iter().map(|name| (*name).to_owned()));
        } else if !missing.is_empty() {
            let all: Vec<&str> = missing.iter().copied().chain(by.iter().map(String::as_str)).collect();
            return Err(Error::config(format!("`{}` must not be asked without {}", kpi.name, missing.join(", ")))
                .with_hint(format!("add `--by {}`", all.join(","))));
        }
        let mut model = self.validated.with_dimensions(&self.context, kpi, &by).map_err(|(message, hint)| {
            let error = Error::config(message);
            match hint {
                Some(hint) => error.with_hint(hint),
                None => error,
            }
        })?;
        let mut asked = model.kpis[&kpi.name].as_ref().clone();
        asked.dimension_sets = vec![by.clone()];
        let asked = Arc::new(asked);
        model.kpis.insert(asked.name.clone(), asked.clone());
        Ok((model, asked, Cell { grain, dimensions: by }))
    }

    /// Surveys the data behind one KPI, and refuses joins that would count rows twice.
    async fn look_at(&self, model: &Model, kpi: &Kpi) -> Result<Survey> {
        let names = BTreeSet::from([kpi.name.clone()]);
        let mut survey = survey(&self.context, model, &names, self.as_of, &self.known_days().await).await;
        survey.failed.extend(repeated_targets(&self.context, model, &names).await);
        let broken = broken_keys(&self.context, model, &names).await;
        match std::mem::take(&mut survey.failed).into_values().chain(broken.into_values()).next() {
            Some(error) => Err(self.explain(kpi, error).await),
            None => Ok(survey),
        }
    }

    /// Where the project's results lie.
    ///
    /// # Errors
    /// `Storage` where the environment does not say how to reach it.
    pub fn store(&self) -> Result<Store> {
        self.refuse_unsound_project()?;
        Store::open(&self.model().project.output, &catalog::stores(&self.context))
    }

    /// What the last run has found of the files, if there was one.
    async fn known_days(&self) -> FileDays {
        // A question is answered without it, only later.
        let Ok(store) = self.store() else { return FileDays::default() };
        let head = store.head().await.ok().flatten();
        head.map(|head| Inputs::known_days(self.model(), &head)).unwrap_or_default()
    }

    fn first_period(&self, model: &Model, question: &Question, cell: &Cell) -> Option<NaiveDate> {
        model.project.calendar.period_start(question.since?, cell.grain)
    }

    /// A failed query in terms of the user's files: the value that does not fit its column's type, with its line.
    async fn explain(&self, kpi: &Kpi, error: Error) -> Error {
        explain(self.model(), &tables_of(self.model(), kpi), error).await
    }
}

async fn explain(model: &Model, tables: &BTreeSet<String>, error: Error) -> Error {
    // Only what could not be read has a place in a file.
    let text = error.to_string();
    let signs = ["Cast error", "Cannot cast", "Parser error", "Error parsing", "cannot read", "Parquet"];
    let is_unread = signs.iter().any(|sign| text.contains(sign));
    if error.kind() != ErrorKind::Execution || !is_unread {
        return error;
    }
    for table in tables.iter().filter_map(|name| model.tables.get(name)) {
        let Origin::Files { opened, csv, texts, .. } = &table.origin else { continue };
        // Reading everything again is only worth it where the format is what failed.
        if error.message().contains("Parquet")
            && let Some((file, reason)) = catalog::find_broken_file(opened).await
        {
            return Error::execution(format!("`{file}` is damaged: {reason}"))
                .with_hint("export the file again; its beginning and end are right, and something between is not")
                .with_source(error);
        }
        for text in texts {
            let fits = text.clone();
            let broken = catalog::find_broken_value(opened, csv, &text.column, move |value| fits.fits(value)).await;
            if let Some(broken) = broken {
                let place = format!("line {} of `{}`", broken.line, broken.file);
                return Error::execution(format!(
                    "{place}: `{}` in column `{}` is no {}",
                    broken.value, text.column, text.name
                ))
                .with_hint(format!(
                    "mend the line, or change the type, `format` or `null_values` of the column in table `{}`",
                    table.name
                ))
                .with_source(error);
            }
        }
    }
    error
}

/// Whether a KPI needs rows in front of the periods asked for.
fn looks_back(model: &Model, kpi: &Kpi) -> bool {
    let is_found = match &kpi.shape {
        // The members to fill are those of all periods; whoever first appeared did so long ago.
        Shape::Aggregate(aggregate) => {
            aggregate.fill_zero
                || aggregate.placement != Placement::Event
                || matches!(aggregate.subject, Subject::Cohorts(_) | Subject::Conversions(_))
        }
        Shape::Arithmetic(arithmetic) => arithmetic.inputs.iter().any(|input| input.earlier.is_some()),
        Shape::Composite(_) | Shape::Query(_) => false,
    };
    is_found || kpi.inputs().iter().any(|input| model.kpis.get(*input).is_some_and(|below| looks_back(model, below)))
}

/// The coarsest `minimum_grain` of a KPI and those below it, and whose it is.
fn minimum_grain<'a>(model: &'a Model, kpi: &'a Kpi) -> Option<(&'a str, Grain)> {
    let name = kpi.variant_of.as_ref().unwrap_or(&kpi.name);
    let own = kpi.minimum_grain.map(|grain| (name.as_str(), grain));
    let below = kpi.value_inputs().into_iter().filter_map(|input| minimum_grain(model, model.kpis.get(input)?));
    // Its own is told where one below is no coarser.
    below.chain(own).max_by_key(|(_, grain)| *grain)
}

/// Why a KPI, or one below it, cannot be read at a grain that no definition names.
fn why_not_at(model: &Model, kpi: &Kpi, grain: Grain) -> Option<String> {
    let name = kpi.variant_of.as_ref().unwrap_or(&kpi.name);
    let offset = || format!("`{name}` looks back by a length that is no whole number of {grain}s");
    let own = match &kpi.shape {
        Shape::Aggregate(aggregate) => match (&aggregate.placement, &aggregate.subject) {
            (_, Subject::Cohorts(cohorts)) if cohorts.by != grain => {
                Some(format!("`{name}` has cohorts by {} and cannot be read by {grain}", cohorts.by))
            }
            (Placement::Window(Window::ToDate(unit)), _) if *unit < grain => {
                Some(format!("`{name}` adds up the {unit} to date, which is shorter than a {grain}"))
            }
            _ => None,
        },
        Shape::Arithmetic(arithmetic) => arithmetic.inputs.iter().find_map(|input| match input.earlier? {
            Earlier::Previous(previous) => previous.periods(grain).is_none().then(offset),
            Earlier::StartOf(unit) => (unit < grain).then(offset),
        }),
        Shape::Composite(_) | Shape::Query(_) => None,
    };
    own.or_else(|| kpi.inputs().iter().find_map(|input| why_not_at(model, model.kpis.get(*input)?, grain)))
}

/// How often a run shows that it is alive.
const BEAT: Duration = Duration::from_secs(5);

/// Waits for work, and tells other runs from time to time that this one is alive.
async fn beating<T>(run: &mut Run, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    let mut tick = tokio::time::interval(BEAT);
    loop {
        tokio::select! {
            done = &mut work => break done,
            _ = tick.tick() => run.heartbeat().await,
        }
    }
}

/// A question ready to be compiled.
struct Prepared {
    model: Model,
    kpi: Arc<Kpi>,
    cell: Cell,
    survey: Survey,
    since: Option<NaiveDate>,
    bounds: Bounds,
}

/// The KPIs of a run before it begins.
#[derive(Default)]
struct Sorted {
    ready: BTreeSet<String>,
    /// Why each of the others cannot be computed.
    outcomes: Vec<(String, Error)>,
    /// Those of the others behind which there is no row.
    without_rows: BTreeSet<String>,
}
