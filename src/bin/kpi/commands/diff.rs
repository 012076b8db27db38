//! `kpi diff`: what differs between two versions, and why.

use std::fmt::Write as _;
use std::sync::Arc;

use kpi::engine::{Engine, EngineOptions, KpiDifference, Reason, TableDifference, VersionDifference};
use kpi::error::Result;
use kpi::model::{Kpi, Model};
use kpi::report::{Difference, ValueDifference, format_change, format_number, format_period};
use kpi::store::LogRecord;
use kpi::time::Grain;
use serde_json::{Value, json};

use super::{SCHEMA_VERSION, count, days_looked_from, print_json, shown_time};
use crate::args::DiffArguments;
use crate::printer::Printer;

/// How many values of a KPI are shown where nobody asked for that KPI.
pub(super) const VALUES_AT_MOST: usize = 5;

pub async fn diff(options: &EngineOptions, arguments: &DiffArguments, printer: &Printer) -> Result<u8> {
    let engine = Engine::open(options).await?;
    let found = engine.diff(arguments.from, arguments.to, &arguments.kpis).await?;
    if arguments.json {
        print_json(printer, &difference_json(&found))?;
        return Ok(0);
    }
    let at_most = if arguments.kpis.is_empty() { VALUES_AT_MOST } else { usize::MAX };
    printer.data(text(&found, engine.model(), at_most))?;
    Ok(0)
}

fn text(found: &VersionDifference, model: &Model, at_most: usize) -> String {
    let VersionDifference { from, to, .. } = found;
    let shown = |version: &LogRecord| format!("Version {} of {}", version.version, shown_time(&version.created_at));
    let versions = format!("{} to {}", shown(from), shown(to).to_lowercase());
    let command = format!("kpi diff {} {}", from.version, to.version);
    differences(&versions, found, model, at_most, |name| format!("{command} {name}"))
}

/// What differs, below what is compared; `all` is the command that shows all values of a KPI.
pub(super) fn differences(
    title: &str,
    found: &VersionDifference,
    model: &Model,
    at_most: usize,
    all: impl Fn(&str) -> String,
) -> String {
    let VersionDifference { kpis, tables, .. } = found;
    let same_values = |found: &KpiDifference| match found {
        KpiDifference::Written { values, .. } => values.values.is_empty(),
        KpiDifference::Came { .. } | KpiDifference::Went { .. } | KpiDifference::Lost { .. } => false,
    };
    let (same, other): (Vec<_>, Vec<_>) = kpis.iter().partition(|(_, found)| same_values(found));
    let mut text = format!("{title}: ");
    let _ = match other.len() {
        0 => writeln!(text, "no value differs"),
        1 => writeln!(text, "1 KPI differs"),
        number => writeln!(text, "{} differ", count(number, "KPI")),
    };
    for (name, found) in &other {
        let _ = match found {
            KpiDifference::Came { rows } => writeln!(text, "\n{name}: new, {}", count(*rows as usize, "value")),
            KpiDifference::Went { rows } => writeln!(text, "\n{name}: gone, {}", count(*rows as usize, "value")),
            KpiDifference::Lost { reason } => writeln!(text, "\n{name}: cannot be compared, since {reason}"),
            KpiDifference::Written { values, reasons } => {
                let _ = writeln!(text, "\n{name}: {}", words(values));
                for reason in reasons {
                    let _ = writeln!(text, "  because {}", because(reason, tables));
                }
                values_of(&mut text, values, model.kpis.get(name), model, at_most, &all(name))
            }
        };
    }
    if !same.is_empty() {
        let names: Vec<&str> = same.iter().map(|(name, _)| name.as_str()).collect();
        let _ = writeln!(text, "\nWritten anew, with the same values: {}", names.join(", "));
    }
    text
}

fn words(values: &Difference) -> String {
    let parts = [(values.changed, "changed"), (values.added, "new"), (values.gone, "gone")];
    let parts = parts.iter().filter(|(number, _)| *number > 0);
    let parts: Vec<String> = parts.map(|(number, word)| format!("{} {word}", count(*number, "value"))).collect();
    parts.join(", ")
}

fn because(reason: &Reason, tables: &std::collections::BTreeMap<String, TableDifference>) -> String {
    match reason {
        Reason::Definition => "its definition changed".into(),
        Reason::Inputs { tables: changed } if changed.is_empty() => "its files or tests changed".into(),
        Reason::Inputs { tables: changed } => {
            let of = |table: &String| {
                let files = tables.get(table).map(files_of).unwrap_or_default();
                format!("`{table}` has other files: {files}")
            };
            changed.iter().map(of).collect::<Vec<_>>().join("; ")
        }
        Reason::AsOf { from, to } => {
            // On the day itself it is open, and afterwards it is over.
            let words = |as_of: &Option<String>| match days_looked_from(as_of.as_deref()) {
                (Some(day), Some(until)) if until < day => format!("{day} while it ran"),
                (day, _) => day.unwrap_or("-".into()),
            };
            let (from, to) = (words(from), words(to));
            format!("it was looked at from {from} and then from {to}")
        }
    }
}

/// `2 changed (a.csv, b.csv), 1 new (c.csv)`.
fn files_of(table: &TableDifference) -> String {
    const NAMES_AT_MOST: usize = 3;
    let parts = [(&table.changed, "changed"), (&table.came, "new"), (&table.went, "gone")];
    let part = |(names, word): &(&Vec<String>, &str)| {
        let mut shown: Vec<&str> = names.iter().take(NAMES_AT_MOST).map(String::as_str).collect();
        if names.len() > NAMES_AT_MOST {
            shown.push("...");
        }
        format!("{} {word} ({})", names.len(), shown.join(", "))
    };
    parts.iter().filter(|(names, _)| !names.is_empty()).map(part).collect::<Vec<_>>().join(", ")
}

fn values_of(
    text: &mut String,
    found: &Difference,
    kpi: Option<&Arc<Kpi>>,
    model: &Model,
    at_most: usize,
    all: &str,
) -> std::fmt::Result {
    let unit = kpi.and_then(|kpi| kpi.unit.as_deref());
    let currency = model.project.currency.as_deref();
    let number = |value: Option<Option<f64>>| match value {
        Some(None) => "no value".to_owned(),
        Some(value) => format_number(value, unit, currency),
        None => "no row".to_owned(),
    };
    let shown: Vec<[String; 4]> = found
        .values
        .iter()
        .take(at_most)
        .map(|value| {
            let change = match (value.before, value.after) {
                (Some(before), Some(after)) => format_change(after, before, unit),
                _ => String::new(),
            };
            [place(value, model), number(value.before), number(value.after), change]
        })
        .collect();
    let width = |column: usize| shown.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (places, befores, afters) = (width(0), width(1), width(2));
    for [place, before, after, change] in &shown {
        let line = format!("  {place:<places$}  {before:>befores$} -> {after:>afters$}  {change}");
        writeln!(text, "{}", line.trim_end())?;
    }
    match found.values.len() - shown.len() {
        0 => Ok(()),
        more => writeln!(text, "  and {}: {all}", count(more, "further value")),
    }
}

/// `month 2025-03, region = EMEA`.
fn place(value: &ValueDifference, model: &Model) -> String {
    let period = match value.grain.parse::<Grain>() {
        Ok(grain) => format_period(value.period_start, grain, &model.project.calendar),
        Err(()) => value.period_start.to_string(),
    };
    let mut place = format!("{} {period}", value.grain);
    let members = serde_json::from_str::<serde_json::Map<String, Value>>(&value.members).unwrap_or_default();
    for (name, member) in members {
        let member = member.as_str().map_or_else(|| "(none)".to_owned(), str::to_owned);
        let _ = write!(place, ", {name} = {member}");
    }
    place
}

pub(super) fn difference_json(found: &VersionDifference) -> Value {
    let kpis: Value = found.kpis.iter().map(|(name, found)| kpi_json(name, found)).collect();
    let table = |(name, table): (&String, &TableDifference)| json!({ "table": name, "new": table.came, "gone": table.went, "changed": table.changed });
    let tables: Value = found.tables.iter().map(table).collect();
    let (from, to) = (found.from.version, found.to.version);
    json!({ "schema_version": SCHEMA_VERSION, "from": from, "to": to, "kpis": kpis, "tables": tables })
}

fn kpi_json(name: &str, found: &KpiDifference) -> Value {
    match found {
        KpiDifference::Came { rows } => json!({ "kpi": name, "difference": "new", "values": rows }),
        KpiDifference::Went { rows } => json!({ "kpi": name, "difference": "gone", "values": rows }),
        KpiDifference::Lost { reason } => json!({ "kpi": name, "difference": "lost", "reason": reason }),
        KpiDifference::Written { values, reasons } => {
            let reason = |reason: &Reason| match reason {
                Reason::Definition => json!({ "reason": "definition" }),
                Reason::Inputs { tables } => json!({ "reason": "inputs", "tables": tables }),
                Reason::AsOf { from, to } => {
                    let (from, from_complete_until) = days_looked_from(from.as_deref());
                    let (to, to_complete_until) = days_looked_from(to.as_deref());
                    json!({
                        "reason": "as_of",
                        "from": from,
                        "from_complete_until": from_complete_until,
                        "to": to,
                        "to_complete_until": to_complete_until,
                    })
                }
            };
            let value = |value: &ValueDifference| {
                let members = serde_json::from_str::<Value>(&value.members).unwrap_or_default();
                json!({
                    "grain": value.grain,
                    "period_start": value.period_start.to_string(),
                    "breakdown": value.breakdown,
                    "members": members,
                    "was_there": value.before.is_some(),
                    "before": value.before.flatten(),
                    "is_there": value.after.is_some(),
                    "after": value.after.flatten(),
                })
            };
            json!({
                "kpi": name,
                "difference": "written",
                "changed": values.changed,
                "new": values.added,
                "gone": values.gone,
                "reasons": reasons.iter().map(reason).collect::<Vec<_>>(),
                "differences": values.values.iter().map(value).collect::<Vec<_>>(),
            })
        }
    }
}
