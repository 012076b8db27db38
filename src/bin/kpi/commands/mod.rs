//! The commands, one file and one function each. A new one is a file here and a variant in `args`.

mod check;
mod generate;
mod init;
mod ls;
mod run;
mod schema;
mod show;
mod sql;
mod test;

pub use check::check;
pub use generate::generate;
pub use init::init;
pub use ls::ls;
pub use run::run;
pub use schema::schema;
pub use show::show;
pub use sql::sql;
pub use test::test;

use kpi::error::{Error, Result};
use kpi::model::Skipped;
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

/// A line for each KPI that cannot run.
fn tell_skipped(printer: &Printer, skipped: &[Skipped]) {
    if !skipped.is_empty() {
        let lines: String =
            skipped.iter().map(|skipped| format!("\n  `{}`: {}", skipped.kpi, skipped.reason)).collect();
        printer.note(format_args!("skipped {}:{lines}", count(skipped.len(), "KPI")));
    }
}

fn error_json(error: &Error) -> Value {
    let context = error.context().iter().map(|(key, value)| ((*key).to_owned(), json!(value)));
    json!({
        "exit_code": error.kind().exit_code(),
        "message": error.message(),
        "hint": error.hint(),
        "context": Value::Object(context.collect()),
        "cause": std::error::Error::source(error).map(ToString::to_string),
    })
}

/// `1 KPI`, `2 KPIs`.
fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", kpi::report::format_number(Some(number as f64), None, None))
}
