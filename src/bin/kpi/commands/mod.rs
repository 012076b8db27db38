//! The commands, one file and one function each. A new one is a file here and a variant in `args`.

mod check;
mod clean;
mod diff;
mod docs;
mod doctor;
mod generate;
mod history;
mod init;
mod ls;
mod metrics;
mod plan;
mod repl;
mod retry;
mod rollback;
mod run;
mod schema;
pub mod show;
mod sql;
mod test;

pub use check::check;
pub use clean::clean;
pub use diff::diff;
pub use docs::docs;
pub use doctor::doctor;
pub use generate::generate;
pub use history::history;
pub use init::init;
pub use ls::ls;
pub use plan::plan;
pub use repl::repl;
pub use retry::retry;
pub use rollback::rollback;
pub use run::run;
pub use schema::schema;
pub use show::show;
pub use sql::sql;
pub use test::test;

use std::collections::BTreeMap;

use kpi::error::{Error, Result};
use kpi::model::{Model, Skipped};
use kpi::secrets::without_secrets;
use kpi::survey::AsOf;
use serde_json::{Value, json};

use crate::printer::Printer;

/// The version of the JSON that the commands print. Keys may be added; one that goes or changes raises it.
const SCHEMA_VERSION: u32 = 1;

fn print_json(printer: &Printer, value: &Value) -> Result<()> {
    printer.data(format!("{value:#}\n"))
}

fn skipped_json(skipped: &[Skipped]) -> Value {
    skipped.iter().map(|skipped| json!({ "kpi": skipped.kpi, "reason": skipped.reason })).collect()
}

/// What cannot run, for want of data: a line for each KPI, unless there are many.
fn tell_skipped(printer: &Printer, skipped: &[Skipped]) {
    const LINES_AT_MOST: usize = 10;
    let number = count(skipped.len(), "KPI");
    match skipped.len() {
        0 => {}
        1..=LINES_AT_MOST => {
            let lines: String =
                skipped.iter().map(|skipped| format!("\n  `{}`: {}", skipped.kpi, skipped.reason)).collect();
            printer.note(format_args!("skipped {number}:{lines}"));
        }
        _ => printer.note(format_args!("skipped {number} for want of data; `kpi doctor` says what they need")),
    }
}

/// What is to be said of data that is there in part, beside the KPIs that are skipped.
fn lines_on_data(model: &Model) -> impl Iterator<Item = String> {
    left_out_lines(model).into_iter().chain(doubt_lines(model))
}

/// The breakdowns that are left out for want of columns, by what is lacking.
fn left_out_lines(model: &Model) -> Vec<String> {
    let mut by_reason: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (kpi, left_out) in &model.left_out {
        let is_shown = model.kpis.get(kpi).is_some_and(|kpi| kpi.variant_of.is_none() && !kpi.is_hidden);
        for breakdown in left_out.iter().filter(|_| is_shown) {
            let words = format!("`{kpi}` by {}", breakdown.dimensions.join(" and "));
            by_reason.entry(&breakdown.reason).or_default().push(words);
        }
    }
    let line = |(reason, breakdowns): (&str, Vec<String>)| match breakdowns.as_slice() {
        [one] => format!("left out {one}: {reason}"),
        [first, ..] => {
            format!(
                "left out {}, such as {first}: {}",
                count(breakdowns.len(), "breakdown"),
                reason.replacen("it needs", "they need", 1)
            )
        }
        [] => String::new(),
    };
    by_reason.into_iter().map(line).collect()
}

/// What makes numbers smaller than they are, or later: tables that count as empty, and those of which nobody knows how far
/// they reach.
fn doubt_lines(model: &Model) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, table) in &model.tables {
        let readers: Vec<&str> =
            model.defined().filter(|kpi| kpi.reads.contains_key(name)).map(|kpi| kpi.name.as_str()).collect();
        let Some(first) = readers.first() else { continue };
        let readers = match readers.len() {
            1 => format!("`{first}` reads it"),
            number => format!("{} read it, such as `{first}`", count(number, "KPI")),
        };
        if table.is_taken_for_empty() {
            lines.push(format!("`{name}` has no files and counts as a table without rows: {readers}"));
        }
        if let Some(column) = &table.lacking_freshness {
            lines.push(format!(
                "`{name}` has no `{column}`, so nobody knows up to which day it tells everything: {readers}; give the time of \
                 the export as the column's `default`"
            ));
        }
    }
    lines
}

/// What was committed counts, and readers of the plain copies do not see it yet.
fn warn_unpublished(printer: &Printer, error: &Error) {
    printer
        .warning(format_args!("the plain copies in `published/` are not up to date, the next run mends them: {error}"));
}

fn error_json(error: &Error) -> Value {
    let context = error.context().iter().map(|(key, value)| ((*key).to_owned(), json!(value)));
    json!({
        "exit_code": error.kind().exit_code(),
        "message": error.message(),
        "hint": error.hint(),
        "context": Value::Object(context.collect()),
        "cause": std::error::Error::source(error).map(|cause| without_secrets(&cause.to_string()).into_owned()),
    })
}

/// The day that something was looked at from, and the last one that was complete then, as records have them.
fn days_looked_from(as_of: Option<&str>) -> (Option<String>, Option<String>) {
    let as_of = as_of.and_then(|as_of| as_of.parse::<AsOf>().ok());
    as_of.map(|as_of| (as_of.day.to_string(), as_of.complete_until.to_string())).unzip()
}

/// `1 KPI`, `2 KPIs`.
pub fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", kpi::report::format_number(Some(number as f64), None, None))
}

/// As people say sizes.
pub fn shown_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "kB", "MB", "GB", "TB"];
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1000.0 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    if unit == 0 || size >= 100.0 { format!("{size:.0} {}", UNITS[unit]) } else { format!("{size:.1} {}", UNITS[unit]) }
}

/// A moment of a record as people read it, in UTC: `2025-03-31 06:00`.
fn shown_time(moment: &str) -> String {
    match chrono::DateTime::parse_from_rfc3339(moment) {
        Ok(moment) => moment.to_utc().format("%Y-%m-%d %H:%M").to_string(),
        Err(_) => moment.to_owned(),
    }
}
