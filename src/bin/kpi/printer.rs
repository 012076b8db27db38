//! The one place that writes to the terminal: results to standard output, everything else to standard error.
//!
//! A reader that goes away (`kpi show x | head`) is no failure: the rest is dropped. Nothing here decides what is said.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kpi::diagnostic::{Diagnostic, Sources, render_text, to_json};
use kpi::error::{Error, Result};
use kpi::store::{ManifestEvent, Status};
use serde_json::{Value, json};

use crate::args::{Color, LogFormat};

/// What is known about both streams.
#[derive(Debug, Clone, Copy)]
pub struct Printer {
    color: Color,
    quiet: bool,
    log: LogFormat,
}

/// Whether somebody has closed standard output.
static READER_IS_GONE: AtomicBool = AtomicBool::new(false);

/// The run that lines of the log belong to.
static RUN: Mutex<Option<String>> = Mutex::new(None);

impl Printer {
    pub fn new(color: Color, quiet: bool, log: LogFormat) -> Printer {
        Printer { color, quiet, log }
    }

    /// Results, for standard output.
    ///
    /// # Errors
    /// `Storage` where they cannot be written, as on a full disk.
    pub fn data(&self, text: impl AsRef<[u8]>) -> Result<()> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_ref()).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                READER_IS_GONE.store(true, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => Err(Error::storage("standard output cannot be written").with_source(error)),
        }
    }

    /// Whether nobody reads results any more, so that none need be made.
    pub fn is_reader_gone(&self) -> bool {
        READER_IS_GONE.load(Ordering::Relaxed)
    }

    /// Something nice to know.
    pub fn note(&self, text: impl Display) {
        match self.log {
            _ if self.quiet => {}
            LogFormat::Text => self.line(visible_lines(&text.to_string())),
            LogFormat::Json => self.log("info", json!({ "message": text.to_string() })),
        }
    }

    pub fn warning(&self, text: impl Display) {
        match self.log {
            LogFormat::Text => {
                let text = visible_lines(&text.to_string());
                self.line(format_args!("{} {text}", self.paint("warning:", "1;33")));
            }
            LogFormat::Json => self.log("warning", json!({ "message": text.to_string() })),
        }
    }

    pub fn error(&self, error: &Error) {
        match self.log {
            LogFormat::Text => self.failure(error),
            LogFormat::Json => {
                let exit_code = error.kind().exit_code();
                let fields = json!({ "message": error.to_string(), "hint": error.hint(), "exit_code": exit_code });
                self.log("error", fields);
            }
        }
    }

    /// A failure, with a word in front if it is about one thing of many.
    pub fn failure(&self, text: impl Display) {
        match self.log {
            LogFormat::Text => {
                let text = visible_lines(&text.to_string());
                self.line(format_args!("{} {text}", self.paint("error:", "1;31")));
            }
            LogFormat::Json => self.log("error", json!({ "message": text.to_string() })),
        }
    }

    /// Mistakes in definitions, for standard error.
    pub fn diagnostics(&self, diagnostics: &[Diagnostic], sources: &Sources) {
        match self.log {
            _ if diagnostics.is_empty() => {}
            LogFormat::Text => self.line(render_text(diagnostics, sources, self.colors_errors())),
            LogFormat::Json => {
                for diagnostic in to_json(diagnostics, sources).as_array().into_iter().flatten() {
                    let level = diagnostic["severity"].as_str().unwrap_or("error").to_owned();
                    self.log(&level, json!({ "diagnostic": diagnostic, "message": diagnostic["message"] }));
                }
            }
        }
    }

    /// A step of a run, for programs that read the log.
    pub fn event(&self, event: &ManifestEvent) {
        *RUN.lock().unwrap_or_else(PoisonError::into_inner) = Some(event.run_id.clone());
        let level = match event.status {
            Status::Failed => "error",
            Status::Withheld | Status::Abandoned => "warning",
            _ => "info",
        };
        if self.log == LogFormat::Json && (!self.quiet || level != "info") {
            self.log(level, json!({ "event": event }));
        }
    }

    /// A line of the log: when, how bad, of which run, and what.
    fn log(&self, level: &str, fields: Value) {
        let ts = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let mut line =
            json!({ "ts": ts, "level": level, "run_id": *RUN.lock().unwrap_or_else(PoisonError::into_inner) });
        if let (Some(line), Value::Object(fields)) = (line.as_object_mut(), fields) {
            line.extend(fields);
        }
        self.line(line);
    }

    /// Whether standard output shows colors.
    pub fn colors_data(&self) -> bool {
        self.wants_color(self.is_terminal())
    }

    /// Whether standard output is a terminal.
    pub fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// Columns and lines of the terminal, as they are now.
    pub fn window(&self) -> (usize, usize) {
        let of_environment = |name: &str, otherwise| {
            let number = std::env::var(name).ok().and_then(|text| text.parse::<usize>().ok());
            number.filter(|number| *number > 0).unwrap_or(otherwise)
        };
        size_of_terminal().unwrap_or_else(|| (of_environment("COLUMNS", 100), of_environment("LINES", 40)))
    }

    /// A line on standard error that changes while work goes on; invisible where nobody watches.
    pub fn progress(&self) -> ProgressBar {
        if self.quiet || self.log == LogFormat::Json || !io::stderr().is_terminal() {
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

#[cfg(unix)]
fn size_of_terminal() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col.into(), size.ws_row.into()))
}

#[cfg(not(unix))]
fn size_of_terminal() -> Option<(usize, usize)> {
    None
}

/// A text in which nothing breaks the line or speaks to the terminal.
pub fn visible(text: &str) -> String {
    if !text.contains(is_unprintable) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' => shown.push('⏎'),
            '\t' => shown.push(' '),
            '\r' => {}
            letter if is_unprintable(letter) => shown.extend(letter.escape_unicode()),
            letter => shown.push(letter),
        }
    }
    shown
}

/// Control characters, and those that turn the direction of writing around.
fn is_unprintable(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The same for a text of several lines.
pub fn visible_lines(text: &str) -> String {
    text.split('\n').map(visible).collect::<Vec<_>>().join("\n")
}
