//! The program `kpi`: from words on a command line to one call of the library, and from its answer to text and an exit
//! code.
//!
//! It computes nothing. `args` holds what may be typed, each command is one file of `commands`, `table` lays out tables,
//! and only `printer` writes to the terminal.

mod args;
mod commands;
mod printer;
mod repl;
mod scorecard;
mod signals;
mod table;
#[cfg_attr(not(feature = "otlp"), path = "telemetry/without.rs")]
mod telemetry;
mod template;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use kpi::error::{Error, Result};
use kpi::session::clear_spilled;

use args::{Arguments, Command};
use printer::Printer;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let printer = Printer::new(arguments.global.color, arguments.global.quiet, arguments.global.log_format);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let error = Error::storage("the threads of the program could not be started").with_source(error);
            printer.error(&error);
            return ExitCode::from(error.kind().exit_code());
        }
    };
    let outcome = runtime.block_on(run(arguments, &printer));
    // A query that was given up may still be busy; nothing that it does matters any more.
    runtime.shutdown_background();
    clear_spilled();
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            printer.error(&error);
            ExitCode::from(error.kind().exit_code())
        }
    }
}

async fn run(arguments: Arguments, printer: &Printer) -> Result<u8> {
    let Some(command) = arguments.command else {
        printer.data(Arguments::command().render_help().to_string())?;
        return Ok(0);
    };
    let options = arguments.global.engine_options();
    match command {
        Command::Run(arguments) => commands::run(&options, &arguments, printer).await,
        Command::Plan(arguments) => commands::plan(&options, &arguments, printer).await,
        Command::History(arguments) => commands::history(&options, &arguments, printer).await,
        Command::Diff(arguments) => commands::diff(&options, &arguments, printer).await,
        Command::Rollback(arguments) => commands::rollback(&options, &arguments, printer).await,
        Command::Retry(arguments) => commands::retry(&options, &arguments, printer).await,
        Command::Clean(arguments) => commands::clean(&options, &arguments, printer).await,
        Command::Check(arguments) => commands::check(&options, &arguments, printer).await,
        Command::Doctor(arguments) => commands::doctor(&options, &arguments, printer).await,
        Command::Test(arguments) => commands::test(&options, &arguments, printer).await,
        Command::Docs(arguments) => commands::docs(&options, &arguments, printer).await,
        Command::Ls(arguments) => commands::ls(&options, &arguments, printer).await,
        Command::Show(arguments) => commands::show(&options, &arguments, printer).await,
        Command::Sql(arguments) => commands::sql(&options, &arguments, printer).await,
        Command::Repl(arguments) => commands::repl(&options, &arguments, printer).await,
        Command::Init(arguments) => commands::init(&arguments, printer),
        Command::Generate(arguments) => commands::generate(&arguments, printer),
        Command::Schema => commands::schema(printer),
    }
}
