//! The program that shows what does not fit into the window.
//!
//! `KPI_PAGER`, then `PAGER`, then `less`. An empty name, or `cat`, means none.

use std::io::Write;
use std::process::{Command, Stdio};

/// A program that shows a text page by page.
pub struct Pager {
    command: String,
}

impl Pager {
    pub fn of_environment() -> Option<Pager> {
        let named = ["KPI_PAGER", "PAGER"].into_iter().find_map(|name| std::env::var(name).ok());
        let command = named.unwrap_or_else(|| "less".to_owned());
        let is_one = !matches!(command.trim(), "" | "cat");
        is_one.then_some(Pager { command })
    }

    /// Shows a text and waits until somebody has seen it. Whether there was such a program.
    pub fn show(&self, text: &str) -> bool {
        let mut command = shell(&self.command);
        if std::env::var_os("LESS").is_none() {
            // Lines are not folded, colors are shown, and what was seen stays on the screen.
            command.env("LESS", "-SRX");
        }
        let Ok(mut child) = command.stdin(Stdio::piped()).spawn() else { return false };
        if let Some(mut input) = child.stdin.take() {
            // Whoever has seen enough does not read the rest.
            let _ = input.write_all(text.as_bytes());
        }
        match child.wait() {
            // One that fails, or is not there, has shown nothing that anybody could rely on.
            Ok(status) => status.success(),
            Err(_) => false,
        }
    }
}

#[cfg(unix)]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command);
    shell
}

#[cfg(not(unix))]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("cmd");
    shell.arg("/C").arg(command);
    shell
}
