//! `kpi sql`: statements of one's own, or the query behind a KPI, to read or to take elsewhere.

use kpi::engine::{Engine, EngineOptions};
use kpi::error::Result;

use crate::args::SqlArguments;
use crate::printer::Printer;
use crate::repl::{Mode, Shell, no_format, runtime, text_of, text_of_input};

pub async fn sql(options: &EngineOptions, arguments: &SqlArguments, printer: &Printer) -> Result<u8> {
    match &arguments.kpi {
        Some(_) => {
            let engine = Engine::open(options).await?;
            let sql = engine.sql(&arguments.question()).await?;
            printer.data(format!("{sql}\n"))?;
            Ok(0)
        }
        None => run(options, arguments, printer).await,
    }
}

async fn run(options: &EngineOptions, arguments: &SqlArguments, printer: &Printer) -> Result<u8> {
    let texts = texts(arguments)?;
    let mode = match (arguments.format, arguments.output.as_deref()) {
        (Some(format), _) => format,
        (None, Some(path)) if path.extension().is_some() => Mode::of_file(path).ok_or_else(|| no_format(path))?,
        (None, _) => Mode::Table,
    };
    let statements = runtime()?;
    let mut shell = Shell::new(*printer, options.clone(), statements.handle().clone(), false);
    shell.settings.mode = mode;
    shell.write_to(arguments.output.clone());
    let outcome = match shell.set_parameters(&arguments.param) {
        Ok(()) => {
            let mut code = 0;
            for (name, text) in &texts {
                let own = shell.run_text(name, text, arguments.continue_on_error).await;
                code = if code == 0 { own } else { code };
                if shell.is_over || (code != 0 && !arguments.continue_on_error) {
                    break;
                }
            }
            match code {
                0 => shell.put_output().map(|()| code),
                // What came of the others is there all the same.
                _ if arguments.continue_on_error => {
                    let _ = shell.put_output();
                    Ok(code)
                }
                _ => Ok(code),
            }
        }
        Err(error) => Err(error),
    };
    statements.shutdown_background();
    outcome
}

/// Each text with a name for people, all read before the first statement runs.
fn texts(arguments: &SqlArguments) -> Result<Vec<(String, String)>> {
    let mut texts: Vec<(String, String)> =
        arguments.command.iter().map(|text| ("the statement".to_owned(), text.clone())).collect();
    for file in &arguments.file {
        let (name, text) = match file.to_str() {
            Some("-") => ("standard input".to_owned(), text_of_input()?),
            _ => (file.display().to_string(), text_of(file)?),
        };
        texts.push((name, text));
    }
    Ok(texts)
}
