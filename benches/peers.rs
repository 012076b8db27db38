//! The programs beside which `kpi` is measured.

use std::process::{Command, Stdio};

/// Python with DuckDB and other peers: `PYTHON`, or what is in the path.
pub fn python() -> Command {
    Command::new(std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into()))
}

/// Runs a command whose output nobody needs; whether it ended well.
pub fn run_quietly(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
