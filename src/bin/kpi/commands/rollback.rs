//! `kpi rollback`: an earlier version, published again.

use kpi::engine::{Engine, EngineOptions};
use kpi::error::Result;
use kpi::report::KPI_VALUES;

use super::{count, warn_unpublished};
use crate::args::RollbackArguments;
use crate::printer::Printer;

pub async fn rollback(options: &EngineOptions, arguments: &RollbackArguments, printer: &Printer) -> Result<u8> {
    let engine = Engine::open(options).await?;
    let done = engine.roll_back(arguments.version).await?;
    if let Some(error) = &done.unpublished {
        warn_unpublished(printer, error);
    }
    let kpis = done.record.kpis.keys().filter(|name| *name != KPI_VALUES).count();
    printer.note(format_args!(
        "published version {}: {} as in version {}; the next `kpi run` computes again what has changed since then",
        done.record.version,
        count(kpis, "KPI"),
        arguments.version
    ));
    Ok(0)
}
