//! The one place that writes to the terminal: results to standard output, everything else to standard error.
//!
//! A reader that goes away (`kpi show x | head`) is no failure: the rest is dropped. Nothing here decides what is said.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kpi::diagnostic::{Diagnostic, Sources, render_text};
use kpi::error::{Error, Result};

use crate::args::Color;

/// What is known about both streams.
#[derive(Debug, Clone, Copy)]
pub struct Printer {
    color: Color,
    quiet: bool,
}

impl Printer {
    pub fn new(color: Color, quiet: bool) -> Printer {
        Printer { color, quiet }
    }

    /// Results, for standard output.
    ///
    /// # Errors
    /// `Storage` where they cannot be written, as on a full disk.
    pub fn data(&self, text: impl AsRef<[u8]>) -> Result<()> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_ref()).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(Error::storage("standard output cannot be written").with_source(error)),
        }
    }

    /// Something nice to know.
    pub fn note(&self, text: impl Display) {
        if !self.quiet {
            self.line(text);
        }
    }

    pub fn warning(&self, text: impl Display) {
        self.line(format_args!("{} {text}", self.paint("warning:", "1;33")));
    }

    pub fn error(&self, error: &Error) {
        self.failure(error);
    }

    /// A failure, with a word in front if it is about one thing of many.
    pub fn failure(&self, text: impl Display) {
        self.line(format_args!("{} {text}", self.paint("error:", "1;31")));
    }

    /// Mistakes in definitions, for standard error.
    pub fn diagnostics(&self, diagnostics: &[Diagnostic], sources: &Sources) {
        if !diagnostics.is_empty() {
            self.line(render_text(diagnostics, sources, self.colors_errors()));
        }
    }

    /// Whether standard output shows colors.
    pub fn colors_data(&self) -> bool {
        self.wants_color(self.is_terminal())
    }

    /// Whether standard output is a terminal.
    pub fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// A line on standard error that changes while work goes on; invisible where nobody watches.
    pub fn progress(&self) -> ProgressBar {
        if self.quiet || !io::stderr().is_terminal() {
            return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }

    fn colors_errors(&self) -> bool {
        self.wants_color(io::stderr().is_terminal())
    }

    fn wants_color(&self, is_terminal: bool) -> bool {
        match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        }
    }

    fn paint(&self, text: &str, style: &str) -> String {
        if self.colors_errors() { format!("\u{1b}[{style}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn line(&self, text: impl Display) {
        // There is nowhere left to say that this failed.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}
