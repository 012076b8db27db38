//! `kpi run`: compute, audit, publish; the scorecard on standard output and what happened below it on standard error.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use kpi::days::DayRanges;
use kpi::engine::{Engine, EngineOptions, KpiOutcome, Planned, RunOptions, RunReport};
use kpi::error::{Error, ErrorKind, Result};
use kpi::execute::Progress;
use kpi::location::Location;
use kpi::model::Model;
use kpi::report::ScorecardRow;
use kpi::session::clear_spilled;
use kpi::store::{EventListener, Holder};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::diff::{VALUES_AT_MOST, difference_json, differences};
use super::metrics::write_metrics;
use super::{
    SCHEMA_VERSION, count, error_json, lines_on_data, print_json, skipped_json, tell_skipped, warn_unpublished,
};
use crate::args::RunArguments;
use crate::printer::Printer;
use crate::scorecard::scorecard_table;
use crate::signals::signal;
use crate::telemetry::Telemetry;

pub async fn run(options: &EngineOptions, arguments: &RunArguments, printer: &Printer) -> Result<u8> {
    run_as(options, arguments, arguments.days.days()?, printer).await
}

/// Runs, with days whose periods are computed in any case, and tells those outside how it ended, whatever happened.
pub(super) async fn run_as(
    options: &EngineOptions,
    arguments: &RunArguments,
    days: DayRanges,
    printer: &Printer,
) -> Result<u8> {
    let stopping = Stopping::default();
    watch_signals(*printer, stopping.clone());
    if let Some(timeout) = arguments.timeout {
        tokio::spawn(stop_when_time_is_up(timeout, *printer, stopping.clone()));
    }
    let telemetry = Telemetry::from_environment();
    let (teller, tracer) = (*printer, telemetry.clone());
    let events = EventListener::new(move |event| {
        teller.event(event);
        tracer.event(event);
    });
    let mut ended = Ended::default();
    let code = attempts(options, arguments, days, printer, &stopping, events, &mut ended).await;
    let exit_code = code.as_ref().copied().unwrap_or_else(|error| error.kind().exit_code());
    let project = ended.project.as_deref().unwrap_or("unknown");
    let version = ended.report.as_ref().and_then(|report| report.version);
    if let Err(error) = telemetry.end(project, version, exit_code).await {
        printer.warning(&error);
    }
    if let Some(file) = &arguments.metrics {
        let written = write_metrics(file, project, ended.report.as_ref(), exit_code);
        // What was published is published; a scheduler that tried again would mend nothing.
        if let Err(error) = written {
            printer.warning(&error);
        }
    }
    code
}

/// What is known of a run when it has ended, one way or another.
#[derive(Default)]
struct Ended {
    project: Option<String>,
    report: Option<RunReport>,
}

/// How a run learns that it shall stop, and from whom.
#[derive(Clone, Default)]
struct Stopping {
    notify: Arc<Notify>,
    /// The exit code of the signal, if one came.
    signal: Arc<AtomicU8>,
}

impl Stopping {
    /// The exit code of a run that was stopped.
    fn stopped(&self, error: &Error, printer: &Printer) -> u8 {
        printer.error(error);
        self.signal.load(Ordering::Relaxed).max(ErrorKind::Interrupted.exit_code())
    }
}

/// Runs, again and again while another run is in the way and there is time to wait for it.
async fn attempts(
    options: &EngineOptions,
    arguments: &RunArguments,
    days: DayRanges,
    printer: &Printer,
    stopping: &Stopping,
    events: EventListener,
    ended: &mut Ended,
) -> Result<u8> {
    let mut options = options.clone();
    let mut run_options = RunOptions {
        select: arguments.select.clone(),
        fail_fast: arguments.fail_fast,
        dry_run: arguments.dry_run,
        force: arguments.force,
        days,
        plan: None,
        stop: stopping.notify.clone(),
        events,
    };
    if let Some(file) = &arguments.plan {
        take_plan(file, &mut options, &mut run_options)?;
    }
    let deadline = arguments.wait.map(|wait| Instant::now() + wait);
    let mut told = Vec::new();
    loop {
        // The files and definitions may be others when the other run has ended.
        let engine = tokio::select! {
            engine = Engine::open(&options) => engine?,
            () = stopping.notify.notified() => {
                let error = Error::new(ErrorKind::Interrupted, "the run was stopped before it began");
                return Ok(stopping.stopped(&error, printer));
            }
        };
        ended.project = Some(engine.model().project.name.clone());
        let diagnostics = engine.diagnostics();
        if diagnostics != told {
            printer.diagnostics(&diagnostics, engine.sources());
            told = diagnostics;
        }
        let code = run_and_tell(&engine, arguments, &run_options, printer, stopping, &mut ended.report).await;
        let conflict = code.as_ref().err().filter(|error| error.kind() == ErrorKind::Conflict);
        let Some((conflict, deadline)) = conflict.zip(deadline).filter(|(_, deadline)| Instant::now() < *deadline)
        else {
            return code;
        };
        tokio::select! {
            () = until_nobody_is_at_work(&engine, conflict, deadline, printer) => {}
            () = stopping.notify.notified() => {
                let error = Error::new(ErrorKind::Interrupted, "the run was stopped while it waited for another one");
                return Ok(stopping.stopped(&error, printer));
            }
        }
    }
}

/// Waits until no other run is at work, or until there is no more time.
async fn until_nobody_is_at_work(engine: &Engine, conflict: &Error, deadline: Instant, printer: &Printer) {
    const LONGEST_PAUSE: Duration = Duration::from_secs(5);
    let mut pause = Duration::from_millis(200);
    let mut is_told = false;
    while Instant::now() < deadline {
        let Ok(store) = engine.store() else { return };
        match store.holder().await {
            Ok(None) => {
                if !is_told {
                    printer.note(format_args!("{}; trying again", conflict.message()));
                }
                return;
            }
            Ok(Some(holder)) if !is_told => {
                let Holder { run_id, pid, host } = holder;
                printer.note(format_args!("waiting for run `{run_id}` of process {pid} on `{host}`"));
                is_told = true;
            }
            // A store that does not answer now may do so in a moment.
            Ok(Some(_)) | Err(_) => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}

/// What a plan asks in the place of the command line.
fn take_plan(file: &Path, options: &mut EngineOptions, run_options: &mut RunOptions) -> Result<()> {
    if options.as_of.is_some() || !options.settings.is_empty() {
        return Err(Error::config("the day and the settings come from the plan")
            .with_hint("leave out `--as-of` and `--set`, or plan with them"));
    }
    let json = fs::read(file).map_err(|error| {
        Error::config(format!("cannot read `{}`", file.display()))
            .with_hint("write a plan by `kpi plan --json`")
            .with_source(error)
    })?;
    let plan = Planned::from_json(&json, &file.display().to_string())?;
    options.as_of = Some(plan.as_of);
    options.settings = plan.settings.clone();
    run_options.select = plan.select.clone();
    run_options.force = plan.force;
    run_options.days = plan.days.clone();
    run_options.plan = Some(plan);
    Ok(())
}

async fn stop_when_time_is_up(timeout: Duration, printer: Printer, stopping: Stopping) {
    tokio::time::sleep(timeout).await;
    printer.note("stopping, since the time of `--timeout` is up");
    stopping.notify.notify_one();
}

async fn run_and_tell(
    engine: &Engine,
    arguments: &RunArguments,
    run_options: &RunOptions,
    printer: &Printer,
    stopping: &Stopping,
    done: &mut Option<RunReport>,
) -> Result<u8> {
    let progress = printer.progress();
    let listener = |event: Progress<'_>| match event {
        Progress::Pass { table, kpis, number, of } => {
            progress.set_message(format!("pass {number} of {of}: `{table}` for {}", count(kpis, "KPI")));
        }
        Progress::Kpi { name, number, of } => progress.set_message(format!("KPI {number} of {of}: `{name}`")),
    };
    let report = engine.run(run_options, &listener).await;
    progress.finish_and_clear();
    let report = match report {
        Ok(report) => done.insert(report),
        Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(stopping.stopped(&error, printer)),
        Err(error) => return Err(error),
    };
    if let Some(found) = report.dry_run.as_ref().filter(|_| !arguments.json) {
        let title = format!("Dry run against version {}", found.from.version);
        let all = |_: &str| "`--json` has them".to_owned();
        printer.data(differences(&title, found, engine.model(), VALUES_AT_MOST, all) + "\n")?;
    }
    let printed = if arguments.json {
        print_json(printer, &report_json(report, arguments.dry_run))
    } else if report.scorecard.rows.is_empty() {
        Ok(())
    } else {
        // The empty line keeps the notes apart where both streams meet.
        let gap = if printer.is_terminal() { "\n" } else { "" };
        printer.data(scorecard_table(printer, &report.scorecard, &engine.model().project) + gap)
    };
    tell(printer, report, engine.model(), arguments.dry_run);
    printed.map(|()| report.exit_code())
}

/// Listens on a thread of its own, since queries may keep all others busy.
fn watch_signals(printer: Printer, stopping: Stopping) {
    std::thread::spawn(move || {
        // Without it the system's own way of ending the program stays.
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
            runtime.block_on(stop_on_signals(printer, stopping));
        }
    });
}

/// The first signal asks the run to stop; the second ends the program.
async fn stop_on_signals(printer: Printer, stopping: Stopping) {
    stopping.signal.store(signal().await, Ordering::Relaxed);
    printer.note("stopping; once more to end at once");
    stopping.notify.notify_one();
    let code = signal().await;
    clear_spilled();
    std::process::exit(code.into());
}

fn tell(printer: &Printer, report: &RunReport, model: &Model, is_dry_run: bool) {
    tell_skipped(printer, &report.skipped);
    lines_on_data(model).for_each(|line| printer.note(format_args!("{line}")));
    let mut values = 0;
    let (mut published, mut in_part, mut unchanged) = (0, 0, 0);
    // Several KPIs over one table mostly have the same to say.
    let mut warned: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, outcome) in &report.kpis {
        match outcome {
            KpiOutcome::Published { rows, is_in_part, warnings, changes } => {
                values += rows;
                published += 1;
                in_part += usize::from(*is_in_part);
                warnings.iter().for_each(|warning| warned.entry(warning).or_default().push(format!("`{name}`")));
                // What a dry run would change is shown as a whole.
                if let Some(changes) = changes.as_ref().filter(|_| !is_dry_run) {
                    printer.note(format_args!("`{name}`: {changes}"));
                }
            }
            KpiOutcome::Unchanged { warnings, .. } => {
                unchanged += 1;
                warnings.iter().for_each(|warning| warned.entry(warning).or_default().push(format!("`{name}`")));
            }
            KpiOutcome::Withheld { reason, .. } => printer.failure(format_args!("`{name}` is withheld: {reason}")),
            KpiOutcome::Failed { error } => printer.failure(format_args!("`{name}` failed: {error}")),
        }
    }
    for (warning, names) in warned {
        printer.warning(format_args!("{}: {warning}", names.join(", ")));
    }
    if let Some(error) = &report.unpublished {
        warn_unpublished(printer, error);
    }
    let seconds = report.elapsed.as_secs_f64();
    let unchanged = match unchanged {
        0 => String::new(),
        unchanged => format!("; {} unchanged", count(unchanged, "KPI")),
    };
    let in_part = match in_part {
        0 => String::new(),
        in_part => format!("; {} computed in part", count(in_part, "KPI")),
    };
    let named = |kpis: &[String]| kpis.iter().map(|kpi| format!("`{kpi}`")).collect::<Vec<_>>().join(", ");
    if !report.removed.is_empty() {
        printer.note(format_args!("taken away, since no definition is left: {}", named(&report.removed)));
    }
    if !report.lost.is_empty() {
        printer.warning(format_args!(
            "taken away, since the files of their values are gone or damaged: {}; `kpi run` computes them again",
            named(&report.lost)
        ));
    }
    match report.version {
        Some(version) if report.is_new => printer.note(format_args!(
            "published version {version}: {}, {} in {}{in_part}{unchanged} ({seconds:.1} s)",
            count(published, "KPI"),
            count(values, "value"),
            folder(&report.output)
        )),
        Some(version) => {
            let kpis = count(report.kpis.len(), "KPI");
            let are = if report.kpis.len() == 1 { "is" } else { "are" };
            let folder = folder(&report.output);
            printer.note(format_args!(
                "nothing has changed since version {version} in {folder}: {kpis} {are} up to date ({seconds:.1} s)"
            ));
        }
        None if is_dry_run && published > 0 => printer.note(format_args!(
            "would publish {}, {}{in_part}{unchanged}; published nothing ({seconds:.1} s)",
            count(published, "KPI"),
            count(values, "value")
        )),
        None => printer.note(format_args!("published nothing{unchanged} ({seconds:.1} s)")),
    }
}

/// A folder as one would type it here.
fn folder(location: &Location) -> String {
    let Some(path) = location.as_path() else { return location.to_string() };
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    match (here, path.canonicalize()) {
        (Ok(here), Ok(path)) => format!("{}/", path.strip_prefix(&here).unwrap_or(&path).display()),
        _ => path.display().to_string(),
    }
}

fn report_json(report: &RunReport, is_dry_run: bool) -> Value {
    let kpis: Value = report.kpis.iter().map(|(name, outcome)| outcome_json(name, outcome, is_dry_run)).collect();
    let scorecard: Value = report.scorecard.rows.iter().map(scorecard_json).collect();
    json!({
        "schema_version": SCHEMA_VERSION,
        "run_id": report.run_id,
        "version": report.version,
        "is_new": report.is_new,
        "is_dry_run": is_dry_run,
        "exit_code": report.exit_code(),
        "output": report.output.to_string(),
        "elapsed_seconds": report.elapsed.as_secs_f64(),
        "kpis": kpis,
        "removed": report.removed,
        "lost": report.lost,
        "skipped": skipped_json(&report.skipped),
        "scorecard": scorecard,
        "unpublished": report.unpublished.as_ref().map(error_json),
        "dry_run": report.dry_run.as_ref().map(difference_json),
    })
}

/// What became of a KPI, as programs read it.
pub(super) fn outcome_word(outcome: &KpiOutcome) -> &'static str {
    match outcome {
        KpiOutcome::Published { .. } => "published",
        KpiOutcome::Unchanged { .. } => "unchanged",
        KpiOutcome::Withheld { .. } => "withheld",
        KpiOutcome::Failed { .. } => "failed",
    }
}

fn outcome_json(name: &str, outcome: &KpiOutcome, is_dry_run: bool) -> Value {
    match outcome {
        KpiOutcome::Published { rows, is_in_part, warnings, changes } => json!({
            "kpi": name,
            "outcome": if is_dry_run { "would_publish" } else { outcome_word(outcome) },
            "rows": rows,
            "is_in_part": is_in_part,
            "warnings": warnings,
            "changes": changes,
        }),
        KpiOutcome::Unchanged { rows, warnings } => {
            json!({ "kpi": name, "outcome": outcome_word(outcome), "rows": rows, "warnings": warnings })
        }
        KpiOutcome::Withheld { reason, is_late } => {
            json!({ "kpi": name, "outcome": outcome_word(outcome), "reason": reason, "is_late": is_late })
        }
        KpiOutcome::Failed { error } => {
            json!({ "kpi": name, "outcome": outcome_word(outcome), "error": error_json(error) })
        }
    }
}

fn scorecard_json(row: &ScorecardRow) -> Value {
    let latest = row.latest.as_ref().map(|latest| {
        json!({
            "period_start": latest.period_start.to_string(),
            "value": latest.value,
            "before": latest.before,
            "n": latest.n,
            "target": latest.target,
            "status": latest.status,
        })
    });
    json!({
        "kpi": row.kpi,
        "label": row.label,
        "tag": row.tag,
        "unit": row.unit,
        "better": row.better.name(),
        "grain": row.grain.name(),
        "latest": latest,
        "note": row.note,
    })
}
