//! `kpi retry`: what the last run was asked for and did not publish, asked in the same way.

use kpi::engine::{Engine, EngineOptions};
use kpi::error::Result;
use kpi::survey::AsOf;

use super::run::run_as;
use crate::args::{RetryArguments, RunArguments};
use crate::printer::Printer;

pub async fn retry(options: &EngineOptions, arguments: &RetryArguments, printer: &Printer) -> Result<u8> {
    let engine = Engine::open(options).await?;
    let unfinished = engine.unfinished().await?;
    // What is no longer defined cannot be computed.
    let is_defined = |kpi: &String| engine.model().kpis.contains_key(kpi);
    let select: Vec<String> = unfinished.kpis.into_iter().filter(is_defined).collect();
    let run_id = unfinished.run_id;
    if select.is_empty() {
        printer.note(format_args!("run {run_id} published all that it was asked for"));
        return Ok(0);
    }
    printer.note(format_args!("of run {run_id}: {}", select.join(", ")));
    let start = unfinished.start;
    let mut options = options.clone();
    for (name, value) in start.settings {
        options.settings.entry(name).or_insert(value);
    }
    // Who named no day looks from today, also the second time.
    let named = start.as_of.filter(|_| start.is_as_of_fixed).and_then(|as_of| as_of.parse::<AsOf>().ok());
    options.as_of = options.as_of.or(named);
    let (fail_fast, json, force) = (arguments.fail_fast, arguments.json, start.force);
    let arguments = RunArguments { select, fail_fast, json, force, ..RunArguments::default() };
    run_as(&options, &arguments, start.days, printer).await
}
