//! `kpi repl`: a session of questions.

use kpi::engine::EngineOptions;
use kpi::error::Result;

use crate::args::ReplArguments;
use crate::printer::Printer;
use crate::repl::{Shell, is_at_terminal, runtime, session};

pub async fn repl(options: &EngineOptions, arguments: &ReplArguments, printer: &Printer) -> Result<u8> {
    let statements = runtime()?;
    let mut shell = Shell::new(*printer, options.clone(), statements.handle().clone(), is_at_terminal(printer));
    let outcome = match shell.set_parameters(&arguments.param) {
        Ok(()) => {
            shell.settings.mode = arguments.format.unwrap_or(shell.settings.mode);
            session(shell, printer, !arguments.no_init).await
        }
        Err(error) => Err(error),
    };
    statements.shutdown_background();
    outcome
}
