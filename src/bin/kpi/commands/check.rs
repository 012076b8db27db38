//! `kpi check`: every mistake in the definitions, and advice where there is none. They are this command's result, so they go
//! to standard output.

use std::collections::BTreeMap;

use kpi::diagnostic::{Diagnostic, Severity, Sources, render_lines, render_text, to_json};
use kpi::engine::{Engine, EngineOptions};
use kpi::error::Result;
use serde_json::json;

use super::{SCHEMA_VERSION, count, lines_on_data, print_json, skipped_json};
use crate::args::CheckArguments;
use crate::printer::Printer;

pub async fn check(options: &EngineOptions, arguments: &CheckArguments, printer: &Printer) -> Result<u8> {
    let engine = Engine::open(options).await?;
    let mistakes = engine.diagnostics();
    let advice = engine.advice(options.as_of.map(|as_of| as_of.day));
    let model = engine.model();
    let how_many = |severity| mistakes.iter().filter(|diagnostic| diagnostic.severity == severity).count();
    let (errors, warnings) = (how_many(Severity::Error), how_many(Severity::Warning));
    if arguments.json {
        let diagnostics: Vec<Diagnostic> = mistakes.iter().chain(&advice).cloned().collect();
        print_json(
            printer,
            &json!({
                "schema_version": SCHEMA_VERSION,
                "errors": errors,
                "warnings": warnings,
                "advice": advice.len(),
                "tables": model.tables.len(),
                "kpis": model.defined().count(),
                "skipped": skipped_json(&model.skipped),
                "diagnostics": to_json(&diagnostics, engine.sources()),
            }),
        )?;
    } else {
        let mut text = render_text(&mistakes, engine.sources(), printer.colors_data());
        if !text.is_empty() {
            text.push('\n');
        }
        if !advice.is_empty() {
            text.push_str(&match arguments.advice {
                true => in_full(&advice, engine.sources()),
                false => in_brief(&advice, engine.sources()),
            });
            text.push('\n');
        }
        for skipped in &model.skipped {
            text.push_str(&format!("skipped `{}`: {}\n", skipped.kpi, skipped.reason));
        }
        lines_on_data(model).for_each(|line| text.push_str(&format!("{line}\n")));
        let mut parts = vec![count(model.tables.len(), "table"), count(model.defined().count(), "KPI")];
        if !model.skipped.is_empty() {
            parts.push(format!("{} skipped", model.skipped.len()));
        }
        parts.extend([count(errors, "error"), count(warnings, "warning")]);
        if !advice.is_empty() {
            parts.push(format!("{} of advice", count(advice.len(), "piece")));
        }
        text.push_str(&format!("{}\n", parts.join(", ")));
        printer.data(text)?;
        if !advice.is_empty() && !arguments.advice {
            printer.note("`kpi check --advice` says what to do about the advice");
        }
    }
    Ok(match errors {
        0 => 0,
        // No mistake in a definition.
        _ if engine.unreachable().is_some() => 4,
        _ => 2,
    })
}

/// A line for each piece of advice by its place, and one on what to do about it.
fn in_full(advice: &[Diagnostic], sources: &Sources) -> String {
    let hint = |hint: Option<&str>| hint.map(|hint| format!("  hint: {hint}\n")).unwrap_or_default();
    render_lines(advice, sources).into_iter().map(|(line, what)| format!("{line}\n{}", hint(what))).collect()
}

/// More advice than this is shown by its kind, the first few of each.
const LINES_AT_MOST: usize = 20;
const LINES_OF_A_KIND: usize = 3;

/// A line for each piece of advice by its place; of many, some of each kind.
fn in_brief(advice: &[Diagnostic], sources: &Sources) -> String {
    let lines = |advice: &[Diagnostic]| -> Vec<String> {
        render_lines(advice, sources).into_iter().map(|(line, _)| line + "\n").collect()
    };
    if advice.len() <= LINES_AT_MOST {
        return lines(advice).concat();
    }
    let mut kinds: BTreeMap<&str, Vec<Diagnostic>> = BTreeMap::new();
    for diagnostic in advice {
        kinds.entry(diagnostic.code).or_default().push(diagnostic.clone());
    }
    let mut text = String::new();
    for (code, advice) in kinds {
        let lines = lines(&advice);
        // The last line is as good as a word on it.
        let shown = if lines.len() == LINES_OF_A_KIND + 1 { lines.len() } else { lines.len().min(LINES_OF_A_KIND) };
        text.push_str(&lines[..shown].concat());
        if shown < lines.len() {
            text.push_str(&format!("and {} more [{code}]\n", lines.len() - shown));
        }
    }
    text
}
