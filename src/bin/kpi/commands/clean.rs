//! `kpi clean`: what no version needs any more; shown, and deleted if asked.

use kpi::engine::{Engine, EngineOptions};
use kpi::error::Result;
use kpi::store::{CleanOptions, Cleaned};
use serde_json::{Value, json};

use super::{SCHEMA_VERSION, count, print_json, shown_bytes};
use crate::args::CleanArguments;
use crate::printer::Printer;

pub async fn clean(options: &EngineOptions, arguments: &CleanArguments, printer: &Printer) -> Result<u8> {
    let engine = Engine::open(options).await?;
    let store = engine.store()?;
    let asked = CleanOptions { keep: arguments.keep, older_than: arguments.older_than };
    let found = store.find_needless(&asked).await?;
    let cleaned = if arguments.yes { store.delete_needless(found).await? } else { found };
    if arguments.json {
        print_json(printer, &cleaned_json(&cleaned, arguments.yes))?;
    } else {
        let lines: String = cleaned.files.iter().map(|(name, _)| format!("{name}\n")).collect();
        printer.data(lines)?;
        tell(printer, &cleaned, arguments.yes);
    }
    Ok(0)
}

fn tell(printer: &Printer, cleaned: &Cleaned, is_deleted: bool) {
    let versions = match cleaned.versions.as_slice() {
        [] => String::new(),
        [one] => format!(", version {one} among them"),
        [first, .., last] => format!(", versions {first} to {last} among them"),
    };
    let files = count(cleaned.files.len(), "file");
    let size = shown_bytes(cleaned.bytes());
    match (cleaned.files.len(), is_deleted) {
        (0, _) => printer.note("there is nothing to clear away"),
        (_, true) => printer.note(format_args!("deleted {files}, {size}{versions}")),
        (_, false) => printer.note(format_args!("{files}, {size}{versions}; `--yes` deletes them")),
    }
}

fn cleaned_json(cleaned: &Cleaned, is_deleted: bool) -> Value {
    let files: Value = cleaned.files.iter().map(|(path, bytes)| json!({ "path": path, "bytes": bytes })).collect();
    json!({
        "schema_version": SCHEMA_VERSION,
        "is_deleted": is_deleted,
        "versions": cleaned.versions,
        "bytes": cleaned.bytes(),
        "files": files,
    })
}
