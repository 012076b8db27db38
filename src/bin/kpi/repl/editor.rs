//! A text written in the editor of the environment: `$VISUAL`, `$EDITOR`, or `vi`.

use std::fs;
use std::process::Command;

use kpi::error::{Error, Result};

/// What somebody made of a text.
///
/// # Errors
/// `Config` where there is no such editor, or it failed; `Storage` where no file can be written.
pub fn edit(begun: &str) -> Result<String> {
    let folder = std::env::temp_dir();
    let path = folder.join(format!("kpi-{}.sql", std::process::id()));
    let failed = |error: std::io::Error| {
        Error::storage(format!("`{}` cannot be written or read", path.display())).with_source(error)
    };
    write_new(&path, begun).map_err(|error| {
        let _ = fs::remove_file(&path);
        failed(error)
    })?;
    let editor =
        ["VISUAL", "EDITOR"].into_iter().find_map(|name| std::env::var(name).ok().filter(|name| !name.is_empty()));
    let editor = editor.unwrap_or_else(|| if cfg!(windows) { "notepad" } else { "vi" }.to_owned());
    // It may come with options of its own.
    let mut words = editor.split_whitespace();
    let status = Command::new(words.next().unwrap_or_default()).args(words).arg(&path).status();
    let written = match status {
        Ok(status) if status.success() => fs::read_to_string(&path).map_err(failed),
        Ok(_) => Err(Error::config(format!("`{editor}` ended with a failure, so nothing is taken over"))),
        Err(error) => Err(Error::config(format!("`{editor}` cannot be started"))
            .with_hint("name an editor in EDITOR")
            .with_source(error)),
    };
    let _ = fs::remove_file(&path);
    written
}

/// Nobody else may have put a file there, or read what is in it.
fn write_new(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    let _ = fs::remove_file(path);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}
