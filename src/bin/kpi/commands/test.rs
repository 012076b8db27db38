//! `kpi test`: the tests beside the definitions; what failed, with the rows that did, and how many passed.

use comfy_table::Cell;
use kpi::engine::{Engine, EngineOptions, Only, TestOptions, TestReport};
use kpi::error::Result;
use kpi::model::TestSeverity;
use kpi::testing::{Examples, TestKind, TestOutcome, Verdict};
use serde_json::{Value, json};

use super::{SCHEMA_VERSION, count, error_json, print_json};
use crate::args::{Kind, TestArguments};
use crate::printer::Printer;
use crate::table::{Column, table};

pub async fn test(options: &EngineOptions, arguments: &TestArguments, printer: &Printer) -> Result<u8> {
    let engine = Engine::open(options).await?;
    printer.diagnostics(&engine.diagnostics(), engine.sources());
    let only = arguments.only.map(|kind| match kind {
        Kind::Given => Only::Given,
        Kind::Data => Only::Data,
    });
    let progress = printer.progress();
    progress.set_message("testing");
    let report = engine.test(&TestOptions { select: arguments.select.clone(), only }).await;
    progress.finish_and_clear();
    let report = report?;
    match arguments.json {
        true => print_json(printer, &report_json(&report))?,
        false => printer.data(as_text(printer, &report))?,
    }
    Ok(report.exit_code())
}

fn as_text(printer: &Printer, report: &TestReport) -> String {
    let mut text = String::new();
    for outcome in report.outcomes.iter().filter(|outcome| outcome.has_failed()) {
        let (word, style) = if outcome.is_error() { ("failed", "1;31") } else { ("warning", "1;33") };
        let word = if printer.colors_data() { format!("\u{1b}[{style}m{word}\u{1b}[0m") } else { word.to_owned() };
        let TestOutcome { subject, name, place, .. } = outcome;
        let what = what_failed(outcome);
        // What is said in several lines stands below.
        let what = if what.contains('\n') { format!("\n{what}").replace('\n', "\n  ") } else { format!(" {what}") };
        text.push_str(&format!("{word} `{subject}`: {name} ({place}):{what}\n"));
        if let Verdict::Failed(failure) = &outcome.verdict
            && !failure.examples.rows.is_empty()
        {
            let shown = examples(printer, &failure.examples);
            text.push_str(&shown.lines().map(|line| format!("  {line}\n")).collect::<String>());
        }
    }
    let mut skipped: Vec<(&str, usize)> = Vec::new();
    for outcome in &report.outcomes {
        let Verdict::Skipped { reason } = &outcome.verdict else { continue };
        match skipped.iter_mut().find(|(known, _)| known == reason) {
            Some((_, count)) => *count += 1,
            None => skipped.push((reason, 1)),
        }
    }
    for (reason, tests) in skipped {
        text.push_str(&format!("skipped {}: {reason}\n", count(tests, "test")));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    let [passed, failed, warned, skipped] = counts(report);
    let mut parts = vec![format!("{passed} passed"), format!("{failed} failed")];
    parts.extend((warned > 0).then(|| count(warned, "warning")));
    parts.extend((skipped > 0).then(|| format!("{skipped} skipped")));
    let all = count(report.outcomes.len(), "test");
    text.push_str(&format!("{all}: {} ({:.1} s)\n", parts.join(", "), report.elapsed.as_secs_f64()));
    text
}

/// How many passed, failed, warn and were skipped.
fn counts(report: &TestReport) -> [usize; 4] {
    let words = ["passed", "failed", "warned", "skipped"];
    words.map(|word| report.outcomes.iter().filter(|outcome| self::word(outcome) == word).count())
}

fn what_failed(outcome: &TestOutcome) -> String {
    match &outcome.verdict {
        Verdict::Failed(failure) => failure.message.clone(),
        Verdict::Broken { error } => format!("the test could not run: {error}"),
        Verdict::Passed | Verdict::Skipped { .. } => String::new(),
    }
}

fn examples(printer: &Printer, examples: &Examples) -> String {
    let columns: Vec<(&str, Column)> = examples.columns.iter().map(|name| (name.as_str(), Column::Text(9))).collect();
    let cell = |value: &Option<String>| Cell::new(value.as_deref().unwrap_or("(none)"));
    let rows = examples.rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    table(printer, &columns, rows)
}

fn report_json(report: &TestReport) -> Value {
    let [passed, failed, warned, skipped] = counts(report);
    let tests: Value = report.outcomes.iter().map(outcome_json).collect();
    json!({
        "schema_version": SCHEMA_VERSION,
        "exit_code": report.exit_code(),
        "elapsed_seconds": report.elapsed.as_secs_f64(),
        "passed": passed,
        "failed": failed,
        "warned": warned,
        "skipped": skipped,
        "tests": tests,
    })
}

fn outcome_json(outcome: &TestOutcome) -> Value {
    let mut entry = json!({
        "kind": kind(outcome.kind),
        "subject": outcome.subject,
        "name": outcome.name,
        "file": outcome.place.file.display().to_string(),
        "line": outcome.place.line,
        "severity": match outcome.severity {
            TestSeverity::Warn => "warn",
            TestSeverity::Error => "error",
        },
        "outcome": word(outcome),
    });
    match &outcome.verdict {
        Verdict::Passed => {}
        Verdict::Failed(failure) => {
            let row = |row: &Vec<Option<String>>| {
                let cells = failure.examples.columns.iter().zip(row);
                Value::Object(cells.map(|(name, value)| (name.clone(), json!(value))).collect())
            };
            entry["message"] = json!(failure.message);
            entry["failing_rows"] = json!(failure.rows);
            entry["rows"] = failure.examples.rows.iter().map(row).collect();
        }
        Verdict::Skipped { reason } => entry["message"] = json!(reason),
        Verdict::Broken { error } => entry["error"] = error_json(error),
    }
    entry
}

fn kind(kind: TestKind) -> &'static str {
    match kind {
        TestKind::Given => "given",
        TestKind::Data => "data",
        TestKind::Freshness => "freshness",
        TestKind::Assertion => "assert",
    }
}

fn word(outcome: &TestOutcome) -> &'static str {
    match &outcome.verdict {
        Verdict::Passed => "passed",
        Verdict::Skipped { .. } => "skipped",
        Verdict::Failed(_) | Verdict::Broken { .. } if outcome.is_error() => "failed",
        Verdict::Failed(_) | Verdict::Broken { .. } => "warned",
    }
}
