//! `kpi check`: every mistake in the definitions. They are this command's result, so they go to standard output.

use kpi::diagnostic::{Severity, render_text, to_json};
use kpi::engine::{Engine, EngineOptions};
use kpi::error::Result;
use serde_json::json;

use super::{SCHEMA_VERSION, count, left_out_lines, print_json, skipped_json};
use crate::args::CheckArguments;
use crate::printer::Printer;

pub async fn check(options: &EngineOptions, arguments: &CheckArguments, printer: &Printer) -> Result<u8> {
    let engine = Engine::open(options).await?;
    let diagnostics = engine.diagnostics();
    let model = engine.model();
    let how_many = |severity| diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count();
    let (errors, warnings) = (how_many(Severity::Error), how_many(Severity::Warning));
    if arguments.json {
        print_json(
            printer,
            &json!({
                "schema_version": SCHEMA_VERSION,
                "errors": errors,
                "warnings": warnings,
                "tables": model.tables.len(),
                "kpis": model.defined().count(),
                "skipped": skipped_json(&model.skipped),
                "diagnostics": to_json(&diagnostics, engine.sources()),
            }),
        )?;
    } else {
        let mut text = render_text(&diagnostics, engine.sources(), printer.colors_data());
        if !text.is_empty() {
            text.push('\n');
        }
        for skipped in &model.skipped {
            text.push_str(&format!("skipped `{}`: {}\n", skipped.kpi, skipped.reason));
        }
        left_out_lines(model).iter().for_each(|line| text.push_str(&format!("{line}\n")));
        let mut parts = vec![count(model.tables.len(), "table"), count(model.defined().count(), "KPI")];
        if !model.skipped.is_empty() {
            parts.push(format!("{} skipped", model.skipped.len()));
        }
        parts.extend([count(errors, "error"), count(warnings, "warning")]);
        text.push_str(&format!("{}\n", parts.join(", ")));
        printer.data(text)?;
    }
    Ok(if errors > 0 { 2 } else { 0 })
}
