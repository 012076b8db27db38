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
use kpi::store::EventListener;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::diff::{VALUES_AT_MOST, difference_json, differences};
use super::ls::better;
use super::metrics::write_metrics;
use super::{
    SCHEMA_VERSION, count, error_json, lines_on_data, print_json, skipped_json, tell_skipped, warn_unpublished,
};
use crate::args::RunArguments;
use crate::printer::Printer;
use crate::scorecard::scorecard_table;
use crate::telemetry::Telemetry;

pub async fn run(options: &EngineOptions, arguments: &RunArguments, printer: &Printer) -> Result<u8> {
    run_as(options, arguments, arguments.days.days()?, printer).await
}

/// Runs, with days whose periods are computed in any case.
pub(super) async fn run_as(
    options: &EngineOptions,
    arguments: &RunArguments,
    days: DayRanges,
    printer: &Printer,
) -> Result<u8> {
    let stop = Arc::new(Notify::new());
    let interrupted = Arc::new(AtomicU8::new(0));
    watch_signals(*printer, stop.clone(), interrupted.clone());

    let telemetry = Telemetry::from_environment();
    let (teller, tracer) = (*printer, telemetry.clone());
    let mut run_options = RunOptions {
        select: arguments.select.clone(),
        fail_fast: arguments.fail_fast,
        dry_run: arguments.dry_run,
        force: arguments.force,
        days,
        plan: None,
        stop: stop.clone(),
        events: EventListener::new(move |event| {
            teller.event(event);
            tracer.event(event);
        }),
    };
    let mut options = options.clone();
    if let Some(file) = &arguments.plan {
        take_plan(file, &mut options, &mut run_options)?;
    }
    if let Some(timeout) = arguments.timeout {
        tokio::spawn(stop_when_time_is_up(timeout, *printer, stop.clone()));
    }
    let wait_until = arguments.wait.map(|wait| Instant::now() + wait);
    let mut is_waiting = false;
    let (engine, report, code) = loop {
        let engine = Engine::open(&options).await?;
        if !is_waiting {
            printer.diagnostics(&engine.diagnostics(), engine.sources());
        }
        let mut report = None;
        let code = run_and_tell(&engine, arguments, &run_options, printer, &interrupted, &mut report).await;
        let another = code.as_ref().err().filter(|error| error.kind() == ErrorKind::Conflict);
        let Some(error) = another.filter(|_| wait_until.is_some_and(|until| Instant::now() < until)) else {
            break (engine, report, code);
        };
        if !is_waiting {
            printer.note(format_args!("{}; waiting for it", error.message()));
        }
        is_waiting = true;
        // When it has ended everything is looked at anew, also the files.
        tokio::select! {
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = stop.notified() => {
                let error = Error::new(ErrorKind::Interrupted, "the run was stopped while it waited for another one");
                break (engine, report, Ok(stopped(&error, printer, &interrupted)));
            }
        }
    };
    let exit_code = code.as_ref().copied().unwrap_or_else(|error| error.kind().exit_code());
    let version = report.as_ref().and_then(|report| report.version);
    if let Err(error) = telemetry.end(&engine.model().project.name, version, exit_code).await {
        printer.warning(&error);
    }
    if let Some(file) = &arguments.metrics {
        let written = write_metrics(file, &engine.model().project.name, report.as_ref(), exit_code);
        // What became of the run is the worse news.
        match (&code, written) {
            (Ok(_), Err(error)) => return Err(error),
            (Err(_), Err(error)) => printer.warning(&error),
            (_, Ok(())) => {}
        }
    }
    code
}

/// How often a run that waits looks whether the other one has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What a plan asks in the place of the command line.
fn take_plan(file: &Path, options: &mut EngineOptions, run_options: &mut RunOptions) -> Result<()> {
    if options.as_of.is_some() || !options.settings.is_empty() {
        return Err(Error::config("a plan says itself from which day it looks, and with which settings")
            .with_hint("leave out `--as-of` and `--set`, or plan with them"));
    }
    let json = fs::read(file).map_err(|error| {
        Error::config(format!("cannot read `{}`", file.display()))
            .with_hint("write a plan by `kpi plan --json`")
            .with_source(error)
    })?;
    let plan = Planned::from_json(&json, &file.display().to_string())?;
    options.as_of = plan.as_of();
    options.settings = plan.settings.clone();
    run_options.select = plan.select.clone();
    run_options.force = plan.force;
    run_options.days = plan.days.clone();
    run_options.plan = Some(plan);
    Ok(())
}

async fn stop_when_time_is_up(timeout: Duration, printer: Printer, stop: Arc<Notify>) {
    tokio::time::sleep(timeout).await;
    printer.note("stopping, since the time of `--timeout` is up");
    stop.notify_one();
}

/// The exit code of a run that was stopped.
fn stopped(error: &Error, printer: &Printer, interrupted: &AtomicU8) -> u8 {
    printer.error(error);
    interrupted.load(Ordering::Relaxed).max(ErrorKind::Interrupted.exit_code())
}

async fn run_and_tell(
    engine: &Engine,
    arguments: &RunArguments,
    run_options: &RunOptions,
    printer: &Printer,
    interrupted: &AtomicU8,
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
        Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(stopped(&error, printer, interrupted)),
        Err(error) => return Err(error),
    };
    if let Some(rehearsal) = report.rehearsal.as_ref().filter(|_| !arguments.json) {
        let title = format!("What would differ from version {}", rehearsal.from.version);
        let all = |name: &str| format!("kpi run --dry-run --json {name}");
        printer.data(differences(&title, rehearsal, engine.model(), VALUES_AT_MOST, all) + "\n")?;
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
fn watch_signals(printer: Printer, stop: Arc<Notify>, interrupted: Arc<AtomicU8>) {
    std::thread::spawn(move || {
        // Without it the system's own way of ending the program stays.
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
            runtime.block_on(stop_on_signals(printer, stop, interrupted));
        }
    });
}

/// The first signal asks the run to stop; the second ends the program.
async fn stop_on_signals(printer: Printer, stop: Arc<Notify>, interrupted: Arc<AtomicU8>) {
    interrupted.store(signal().await, Ordering::Relaxed);
    printer.note("stopping; once more to end at once");
    stop.notify_one();
    let code = signal().await;
    clear_spilled();
    std::process::exit(code.into());
}

/// The exit code of the signal that came.
async fn signal() -> u8 {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            return tokio::select! {
                _ = tokio::signal::ctrl_c() => 130,
                _ = terminate.recv() => 143,
            };
        }
    }
    // Without a handler the system's own way of ending the program stays.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
    130
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
    let mut kpis: Vec<Value> = report.kpis.iter().map(|(name, outcome)| outcome_json(name, outcome)).collect();
    if is_dry_run {
        let published = kpis.iter_mut().filter(|kpi| kpi["outcome"] == "published");
        published.for_each(|kpi| kpi["outcome"] = json!("not_published"));
    }
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
        "rehearsal": report.rehearsal.as_ref().map(difference_json),
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

fn outcome_json(name: &str, outcome: &KpiOutcome) -> Value {
    match outcome {
        KpiOutcome::Published { rows, is_in_part, warnings, changes } => json!({
            "kpi": name,
            "outcome": outcome_word(outcome),
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
        "better": better(row.better),
        "grain": row.grain.name(),
        "latest": latest,
        "note": row.note,
    })
}
