//! `kpi docs`: what the definitions say, as a page for people.

use kpi::engine::{Engine, EngineOptions};
use kpi::error::Result;
use kpi::model::Kpi;
use kpi::report::{glossary, glossary_of, short_glossary};

use super::count;
use super::show::write;
use crate::args::DocsArguments;
use crate::printer::Printer;

pub async fn docs(options: &EngineOptions, arguments: &DocsArguments, printer: &Printer) -> Result<u8> {
    let engine = Engine::open(options).await?;
    let selected = engine.select(&arguments.select)?;
    let model = engine.model();
    let kpis: Vec<&Kpi> = selected.iter().filter_map(|name| model.kpis.get(name)).map(AsRef::as_ref).collect();
    let text = match (arguments.short, arguments.select.is_empty()) {
        (true, _) => short_glossary(&kpis),
        (false, true) => glossary(model, &kpis),
        (false, false) => glossary_of(model, &kpis),
    };
    match &arguments.output {
        Some(path) => write(path, text.as_bytes())?,
        None => printer.data(text)?,
    }
    let mistakes = engine.diagnostics().iter().filter(|diagnostic| diagnostic.is_error()).count();
    if mistakes > 0 {
        let mistakes = count(mistakes, "mistake");
        printer.warning(format_args!("{mistakes} in the definitions; what has one is not there, see `kpi check`"));
    }
    Ok(0)
}
