//! A session of questions: somebody types, `shell` does it, and everything is as it was before the next one.
//!
//! `line` reads, `commands` is the table of what begins with a backslash, and `output`, `grid` and `chart` show rows.

mod ask;
mod chart;
mod charted;
mod commands;
mod described;
mod editor;
mod explained;
mod grid;
mod history;
mod line;
mod output;
mod pager;
mod progress;
mod screen;
mod shell;
mod shown;
mod vocabulary;

use std::io::IsTerminal;

use kpi::error::{Error, Result};
use tokio::runtime::Runtime;

use self::line::{Line, Typed, is_farewell};
pub use self::output::{Mode, no_format};
pub use self::shell::{Shell, text_of, text_of_input};
use crate::printer::Printer;

/// The threads that statements run on, apart from those that listen to whoever waits.
///
/// # Errors
/// `Storage` where the system gives no threads.
pub fn runtime() -> Result<Runtime> {
    // Plans of KPIs over KPIs nest deeply. What is not used of it costs nothing.
    const STACK: usize = 64 << 20;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.enable_all().thread_name("statements").thread_stack_size(STACK).build();
    runtime.map_err(|error| Error::storage("the threads of the program could not be started").with_source(error))
}

/// A session at a terminal, or the text that comes from elsewhere.
///
/// # Errors
/// `Storage` where the terminal cannot be used.
pub async fn session(mut shell: Shell, printer: &Printer, with_beginning: bool) -> Result<u8> {
    if !shell.is_interactive {
        let text = text_of_input()?;
        return Ok(shell.run_text("standard input", &text, false).await);
    }
    // From here on Ctrl-C ends a statement and never the session.
    listen()?;
    printer.note(format_args!("kpi {}. \\help shows what there is, Ctrl-D leaves.", env!("CARGO_PKG_VERSION")));
    if let Some(file) = history::beginning().filter(|_| with_beginning) {
        match text_of(&file) {
            // One line of it that fails keeps no other from being done.
            Ok(text) => drop(shell.run_text(&file.display().to_string(), &text, true).await),
            Err(error) => shell.tell(&error.into()),
        }
    }
    let failed = |error| Error::storage("the terminal cannot be used").with_source(error);
    let mut line = Line::open(shell.names.clone(), shell.runtime.clone(), printer.colors_data()).map_err(failed)?;
    while !shell.is_over {
        let draft = shell.draft.take();
        let typed = tokio::task::block_in_place(|| line.read(draft.as_deref())).map_err(failed)?;
        match typed {
            Typed::Text(text) if is_farewell(&text) => {
                let command = if text.to_lowercase().contains("help") { "\\help" } else { "\\quit" };
                shell.run_text("the statement", command, false).await;
            }
            Typed::Text(text) => {
                shell.run_text("the statement", &text, false).await;
            }
            Typed::Nothing => {}
            Typed::End => shell.is_over = true,
        }
    }
    Ok(0)
}

/// Before the line editor begins: it puts back what it finds once a line is typed.
fn listen() -> Result<()> {
    let failed = |error| Error::storage("Ctrl-C cannot be listened to").with_source(error);
    #[cfg(unix)]
    let mut interrupts = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt()).map_err(failed)?;
    #[cfg(windows)]
    let mut interrupts = tokio::signal::windows::ctrl_c().map_err(failed)?;
    // Whoever waits for a statement hears it as well.
    tokio::spawn(async move { while interrupts.recv().await.is_some() {} });
    Ok(())
}

/// Whether somebody types and sees what comes of it.
pub fn is_at_terminal(printer: &Printer) -> bool {
    std::io::stdin().is_terminal() && printer.is_terminal()
}
