//! `kpi retry`: what the last run was asked for and did not publish.

use kpi::engine::{Engine, EngineOptions};
use kpi::error::Result;

use super::run;
use crate::args::{RetryArguments, RunArguments};
use crate::printer::Printer;

pub async fn retry(options: &EngineOptions, arguments: &RetryArguments, printer: &Printer) -> Result<u8> {
    let engine = Engine::open(options).await?;
    let (id, unfinished) = engine.unfinished().await?;
    // What is no longer defined cannot be computed.
    let select: Vec<String> = unfinished.into_iter().filter(|kpi| engine.model().kpis.contains_key(kpi)).collect();
    if select.is_empty() {
        printer.note(format_args!("run {id} published all that it was asked for"));
        return Ok(0);
    }
    printer.note(format_args!("of run {id}: {}", select.join(", ")));
    let (fail_fast, json) = (arguments.fail_fast, arguments.json);
    let arguments = RunArguments { select, fail_fast, json, ..RunArguments::default() };
    run(options, &arguments, printer).await
}
