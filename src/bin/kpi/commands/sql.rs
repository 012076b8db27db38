//! `kpi sql`: the query behind a KPI, to read or to take elsewhere.

use kpi::engine::{Engine, EngineOptions};
use kpi::error::Result;

use crate::args::QuestionArguments;
use crate::printer::Printer;

pub async fn sql(options: &EngineOptions, arguments: &QuestionArguments, printer: &Printer) -> Result<u8> {
    let engine = Engine::open(options).await?;
    let sql = engine.sql(&arguments.question()).await?;
    printer.data(format!("{sql}\n"))?;
    Ok(0)
}
