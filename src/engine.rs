//! The whole pipeline in one place: from the files of a project to published results. Read this file first.
//!
//! Each method is a story told in the stages' own words. Nothing here prints, and nothing decides what a value means.

mod candidate;
mod changes;
mod contribution;
mod derived;
mod doctor;
mod explain;
mod inputs;
mod judge;
mod patch;
mod planned;
mod preview;
mod question;
mod select;
mod testing;
mod unchanged;
mod versions;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{NaiveDate, Utc};
use datafusion::prelude::SessionContext;
use futures::{StreamExt, stream};
use tokio::sync::{Notify, mpsc};

use crate::catalog;
use crate::days::DayRanges;
use crate::diagnostic::{Diagnostic, Sources};
use crate::error::{Error, ErrorKind, Result};
use crate::execute::{self, Listener};
use crate::load::{self, LoadedProject};
use crate::location::Location;
use crate::model::{Kpi, Model, Skipped, below};
use crate::plan;
use crate::report::{self, KPI_VALUES, Scorecard};
use crate::session::{self, SessionOptions};
use crate::spec::Document;
use crate::store::{
    Commit, CommitOutcome, EventListener, LogRecord, ManifestEvent, Phase, Run, RunInfo, Status, Store, Summary,
};
use crate::survey::{AsOf, Partner, Survey, broken_keys, partners, repeated_targets, survey};
use crate::validate::{UNREACHABLE_SOURCE, Validated, advice, is_about_data, validate};
use candidate::make_ready;
pub use contribution::{Adding, Breakdown, Contributions, Group, Standing};
use derived::with_derived_tables;
pub use doctor::{Examination, KpiState, Missing, OutputState, TableState};
use inputs::Inputs;
use judge::{Found, Judge, Judged};
pub use planned::{Planned, PlannedKpi};
pub use preview::{Changed, Preview, Read, Scan, ScanKind};
pub use question::{Answer, Question};
use select::Selected;
pub use testing::{Only, TestOptions, TestReport};
use unchanged::Unchanged;
pub use versions::{KpiDifference, Reason, RolledBack, TableDifference, Unfinished, VersionDifference};

/// Which project, and how it runs.
#[derive(Debug, Clone, Default)]
pub struct EngineOptions {
    /// The folder that holds `kpis/`.
    pub project: PathBuf,
    pub session: SessionOptions,
    /// The day from which the run looks. Default: today as it is now, in the project's time zone.
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
    /// Whether somebody said so, so that it is the same tomorrow.
    is_as_of_fixed: bool,
    /// Settings that are not as the project says.
    settings: BTreeMap<String, String>,
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
    pub dry_run: Option<VersionDifference>,
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
        let is_as_of_fixed = options.as_of.is_some();
        Ok(Engine { loaded, validated, context, as_of, is_as_of_fixed, settings: options.settings.clone() })
    }

    /// An engine that has no project around it: no tables and no KPIs, and a session for queries.
    ///
    /// # Errors
    /// `Storage` where the session cannot be opened.
    pub async fn without_project(options: &EngineOptions) -> Result<Engine> {
        let loaded = LoadedProject::empty(&options.project);
        let context = session::open(&options.session)?;
        let validated = validate(&loaded, &context).await;
        let as_of = options.as_of.unwrap_or_else(|| AsOf::during(Utc::now().date_naive()));
        let is_as_of_fixed = options.as_of.is_some();
        Ok(Engine { loaded, validated, context, as_of, is_as_of_fixed, settings: BTreeMap::new() })
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

    /// Computes the selected KPIs, audits them, and publishes them together.
    ///
    /// # Errors
    /// `Config` where the project has mistakes or the selection names nothing, `Storage`, `Conflict` and `Interrupted` as
    /// they come. What was published before is untouched then. A KPI that fails by itself is in the report instead.
    pub async fn run(&self, options: &RunOptions, listener: Listener<'_>) -> Result<RunReport> {
        let started = Instant::now();
        self.refuse_mistakes()?;
        let model = self.model();
        let Selected { kpis: selected, unusable } = self.select_usable(&options.select)?;

        let store = self.store()?;
        let info = RunInfo {
            listener: options.events.clone(),
            dry_run: options.dry_run,
            // Who publishes nothing is in nobody's way.
            without_lease: options.dry_run,
            force: options.force,
            days: options.days.clone(),
            ..self.run_info(selected.iter().chain(unusable.keys()))
        };
        let inputs = Inputs::pin(model);
        if options.plan.is_some() {
            // A plan that does not hold leaves no trace of a run.
            self.still_to_do(&store, store.head().await?.as_ref(), &inputs, options, &selected).await?;
        }
        let mut run = store.begin(info).await?;
        let judged = self.computed_and_judged(&store, &mut run, options, &selected, &inputs, listener).await;
        match judged {
            Ok(judged) => self.publish(run, options, judged, unusable, &inputs, started).await,
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
        let (unchanged, changed) = self.still_to_do(store, run.parent(), inputs, options, selected).await?;
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

    /// The KPIs that stay as they are published, and those that are computed.
    async fn still_to_do(
        &self,
        store: &Store,
        parent: Option<&LogRecord>,
        inputs: &Inputs,
        options: &RunOptions,
        selected: &BTreeSet<String>,
    ) -> Result<(BTreeMap<String, Unchanged>, BTreeSet<String>)> {
        let unchanged = match options.force || !options.days.is_empty() {
            true => BTreeMap::new(),
            false => self.unchanged(store, parent, inputs, selected).await?,
        };
        let changed = selected.iter().filter(|name| !unchanged.contains_key(*name)).cloned().collect();
        if let Some(plan) = &options.plan {
            plan.still_holds(self.model(), parent, inputs, &changed, &self.removals(options, parent))?;
        }
        Ok((unchanged, changed))
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
        unusable: BTreeMap<String, String>,
        inputs: &Inputs,
        started: Instant,
    ) -> Result<RunReport> {
        let model = self.model();
        let is_whole = options.select.is_empty();
        let is_good = unusable.is_empty() && judged.outcomes.values().all(KpiOutcome::is_up_to_date);
        let is_held_back = options.fail_fast && !is_good;
        if is_held_back {
            let mut others = judged.outcomes.values().filter(|outcome| !outcome.is_up_to_date());
            let is_late = unusable.is_empty() && others.all(KpiOutcome::is_late);
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
        let failed = |(kpi, reason)| (kpi, KpiOutcome::Failed { error: Error::execution(reason) });
        let outcomes = model.order.iter().filter_map(|name| judged.outcomes.remove_entry(name));
        let kpis = outcomes.chain(lapsed).chain(unusable.into_iter().map(failed)).collect();
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
            dry_run: None,
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
            let compared = tokio::select! {
                compared = self.compared_with_published(&run, commit) => compared,
                () = options.stop.notified() => Err(Error::new(ErrorKind::Interrupted, "the dry run was stopped")),
            };
            run.finish().await;
            report.dry_run = compared?;
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

    fn run_info<'a>(&self, kpis: impl Iterator<Item = &'a String>) -> RunInfo {
        RunInfo {
            program: format!("kpi {}", env!("CARGO_PKG_VERSION")),
            as_of: Some(self.as_of.to_string()),
            is_as_of_fixed: self.is_as_of_fixed,
            kpis: kpis.cloned().collect(),
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

    /// Where a definition has a mistake nothing runs; where data files cannot be used, what needs none of them does.
    fn refuse_mistakes(&self) -> Result<()> {
        let diagnostics = self.diagnostics();
        let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error());
        match errors.filter(|error| !is_about_data(error)).count() {
            0 => Ok(()),
            1 => Err(Error::config("the definitions have a mistake, so nothing ran")),
            count => Err(Error::config(format!("the definitions have {count} mistakes, so nothing ran"))),
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

/// The KPIs of a run before it begins.
#[derive(Default)]
struct Sorted {
    ready: BTreeSet<String>,
    /// Why each of the others cannot be computed.
    outcomes: Vec<(String, Error)>,
    /// Those of the others behind which there is no row.
    without_rows: BTreeSet<String>,
}
