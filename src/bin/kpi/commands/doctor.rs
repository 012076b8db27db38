//! `kpi doctor`: which KPIs the tables at hand support, which they almost support, and what is missing.
//!
//! What an examination finds is in `kpi::engine`; here it is only written.

use std::collections::{BTreeMap, BTreeSet};

use comfy_table::Cell;
use kpi::engine::{Engine, EngineOptions, Examination, KpiState, Missing, OutputState, TableState};
use kpi::error::Result;
use kpi::model::{Model, Need};
use kpi::store::CLOCK_TOLERANCE;
use serde_json::{Value, json};

use super::{SCHEMA_VERSION, count, error_json, print_json, shown_bytes};
use crate::args::DoctorArguments;
use crate::printer::Printer;
use crate::table::{Column, table};

pub async fn doctor(options: &EngineOptions, arguments: &DoctorArguments, printer: &Printer) -> Result<u8> {
    let engine = Engine::open(options).await?;
    let mistakes = engine.diagnostics().iter().filter(|diagnostic| diagnostic.is_error()).count();
    let examination = engine.examine().await?;
    match arguments.json {
        true => print_json(printer, &report_json(&examination))?,
        false => printer.data(report(&examination, printer) + &results(&examination, engine.model()))?,
    }
    if mistakes > 0 {
        let mistakes = count(mistakes, "mistake");
        printer.warning(format_args!("{mistakes} in the definitions; what has one is not looked at, see `kpi check`"));
    }
    let is_broken = |state: &TableState| matches!(state, TableState::Unreadable { .. });
    Ok(match mistakes {
        _ if engine.unreachable().is_some() => 4,
        0 if matches!(examination.output, OutputState::Broken(_)) => 4,
        0 if examination.tables.values().any(is_broken) => 1,
        0 => 0,
        _ => 2,
    })
}

/// Whether a run could publish, in words.
fn results(examination: &Examination, model: &Model) -> String {
    let place = &model.project.output;
    let line = match &examination.output {
        OutputState::NotThere => format!("`{place}` is not there yet; the first run makes it"),
        OutputState::Ready(probe) => {
            let version = probe.version.map_or("no version yet".into(), |version| format!("version {version}"));
            let clock = match probe.clock_apart {
                Some(apart) if apart > CLOCK_TOLERANCE => format!(
                    "; its clock is {:.0} s apart from that of this machine: set the clocks, or leases and ages are wrong",
                    apart.as_secs_f64()
                ),
                _ => String::new(),
            };
            format!("`{place}` can be written and read, and keeps two runs apart; {version}{clock}")
        }
        OutputState::Broken(error) => {
            let error = error.to_string().replace('\n', "\n  ");
            format!("a run could not publish to `{place}`: {error}")
        }
    };
    format!("\nResults\n  {line}\n{}", limits(examination, model))
}

/// What queries may use, and how much room there is.
fn limits(examination: &Examination, model: &Model) -> String {
    let Examination { limits, temporary_free, output_free, .. } = examination;
    let memory = limits.memory.map_or("without a limit".into(), |bytes| shown_bytes(bytes as u64));
    let room =
        |bytes: &Option<u64>| bytes.map_or("room unknown".into(), |bytes| format!("{} free", shown_bytes(bytes)));
    let temporary = limits.temporary.display();
    let mut lines = format!("\nLimits\n  query memory: {memory}\n  threads: {}\n", limits.threads);
    lines.push_str(&format!("  spill folder: `{temporary}`, {}\n", room(temporary_free)));
    if model.project.output.as_path().is_some() {
        lines.push_str(&format!("  results: `{}`, {}\n", model.project.output, room(output_free)));
    }
    lines
}

/// What helps most comes first; more than this nobody reads.
const MISSING_AT_MOST: usize = 10;
const NAMES_AT_MOST: usize = 8;

fn report(examination: &Examination, printer: &Printer) -> String {
    let mut text = tables(examination, printer);
    let absent: Vec<&str> = (examination.tables.iter())
        .filter(|(_, state)| matches!(state, TableState::Absent { .. }))
        .map(|(name, _)| name.as_str())
        .collect();
    if !absent.is_empty() {
        text.push_str(&format!("\nWithout files, or on what has none: {}\n", absent.join(", ")));
    }
    let Sections { supported, unreadable, doubtful, almost, unexplained } = Sections::of(examination);
    text.push_str(&format!("\n{}: {supported} supported", count(examination.kpis.len(), "KPI")));
    let lacking = examination.kpis.len() - supported - unreadable.len() - doubtful.len() - almost.len();
    let others = [
        (unreadable.len(), "not readable"),
        (doubtful.len(), "supported by something empty"),
        (almost.len(), "almost supported"),
        (lacking, "not supported"),
    ];
    for (number, words) in others.into_iter().filter(|(number, _)| *number > 0) {
        text.push_str(&format!(", {number} {words}"));
    }
    text.push('\n');
    let mut missing: Vec<String> = examination.missing.iter().take(MISSING_AT_MOST).map(missing_in_words).collect();
    if examination.missing.len() > MISSING_AT_MOST {
        missing.push(format!("and {} more, see `kpi doctor --json`", examination.missing.len() - MISSING_AT_MOST));
    }
    for (title, lines) in [
        ("Cannot be read", tables_that_cannot_be_read(examination)),
        ("Not readable", unreadable),
        ("Supported by something empty", doubtful),
        ("Almost supported", almost),
        ("What is missing", missing),
        ("Not supported for other reasons", unexplained),
    ] {
        if !lines.is_empty() {
            text.push_str(&format!("\n{title}\n"));
            lines.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
        }
    }
    text
}

/// The KPIs that need a word, by what is to be said of them.
#[derive(Default)]
struct Sections {
    supported: usize,
    unreadable: Vec<String>,
    doubtful: Vec<String>,
    almost: Vec<String>,
    /// Those that lack nothing that could be named.
    unexplained: Vec<String>,
}

impl Sections {
    fn of(examination: &Examination) -> Self {
        let mut sections = Sections::default();
        for (name, state) in &examination.kpis {
            match state {
                KpiState::Supported { .. } => sections.supported += 1,
                KpiState::Unreadable { tables } => {
                    sections.unreadable.push(format!("{name}: reads {}", names(tables, NAMES_AT_MOST)));
                }
                KpiState::Doubtful { tables, columns, .. } => {
                    let tables = tables.iter().map(|name| format!("{name} has no rows"));
                    let columns = columns.iter().flat_map(|(table, columns)| {
                        columns.iter().map(move |column| format!("{table}.{column} has no value"))
                    });
                    let why = Vec::from_iter(tables.chain(columns)).join(", ");
                    sections.doubtful.push(format!("{name}: {why}"));
                }
                KpiState::Almost { needs } => sections.almost.push(format!("{name}: {}", needs_in_words(needs))),
                KpiState::NotSupported { needs, reason } if needs.is_empty() => {
                    sections.unexplained.push(format!("{name}: {reason}"));
                }
                KpiState::NotSupported { .. } => {}
            }
        }
        sections
    }
}

/// Why, and what to do about it, as far as it is known.
fn tables_that_cannot_be_read(examination: &Examination) -> Vec<String> {
    let lines = examination.tables.iter().filter_map(|(name, state)| match state {
        TableState::Unreadable { error } => {
            let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
            Some(format!("{name}: {}{hint}", error.message()))
        }
        TableState::There { .. } | TableState::Absent { .. } => None,
    });
    lines.collect()
}

fn tables(examination: &Examination, printer: &Printer) -> String {
    let columns = [
        ("Table", Column::Word),
        ("Rows", Column::Number),
        ("From", Column::Word),
        ("To", Column::Word),
        ("Lacks", Column::Text(20)),
    ];
    let rows = examination.tables.iter().filter_map(|(name, state)| match state {
        TableState::There { profile, lacks } => {
            let rows = kpi::report::format_number(Some(profile.rows as f64), None, None);
            let day = |day: Option<chrono::NaiveDate>| Cell::new(day.map(|day| day.to_string()).unwrap_or_default());
            let mut words = names(lacks, NAMES_AT_MOST);
            if !profile.empty.is_empty() && profile.rows > 0 {
                let comma = if words.is_empty() { "" } else { "; " };
                words.push_str(&format!("{comma}without a value: {}", names(&profile.empty, NAMES_AT_MOST)));
            }
            let (first, last) = (profile.days.map(|days| days.0), profile.days.map(|days| days.1));
            Some(vec![Cell::new(name), Cell::new(rows), day(first), day(last), Cell::new(words)])
        }
        TableState::Unreadable { .. } => {
            Some(vec![Cell::new(name), Cell::new(""), Cell::new(""), Cell::new(""), Cell::new("cannot be read")])
        }
        TableState::Absent { .. } => None,
    });
    table(printer, &columns, rows.collect())
}

/// Some of the names, and a word that there are more.
fn names(all: &BTreeSet<String>, at_most: usize) -> String {
    let few = Vec::from_iter(all.iter().take(at_most).map(String::as_str)).join(", ");
    if all.len() > at_most { format!("{few}, ...") } else { few }
}

fn needs_in_words(needs: &BTreeMap<String, Need>) -> String {
    let parts = needs.iter().map(|(table, need)| {
        let columns = names(&need.columns, NAMES_AT_MOST);
        match need.is_absent {
            true => format!("table {table} ({columns})"),
            false => format!("{columns} in {table}"),
        }
    });
    format!("needs {}", Vec::from_iter(parts).join(" and "))
}

fn missing_in_words(missing: &Missing) -> String {
    let columns = names(&missing.columns, NAMES_AT_MOST);
    let what = match missing.is_absent {
        true => format!("table {} ({columns})", missing.table),
        false => format!("{columns} in {}", missing.table),
    };
    let mut parts = Vec::new();
    if !missing.kpis.is_empty() {
        parts.push(format!("{} ({})", count(missing.kpis.len(), "KPI"), names(&missing.kpis, 3)));
    }
    if !missing.with_others.is_empty() {
        let verb = if missing.with_others.len() == 1 { "lacks" } else { "lack" };
        parts.push(format!("{} that {verb} something else as well", count(missing.with_others.len(), "KPI")));
    }
    if missing.breakdowns > 0 {
        parts.push(count(missing.breakdowns, "breakdown"));
    }
    format!("{what}: {}", parts.join(", "))
}

fn report_json(examination: &Examination) -> Value {
    let tables = examination.tables.iter().map(|(name, state)| match state {
        TableState::There { profile, lacks } => json!({
            "table": name,
            "state": "there",
            "rows": profile.rows,
            "from": profile.days.map(|days| days.0.to_string()),
            "to": profile.days.map(|days| days.1.to_string()),
            "lacks": lacks,
            "without_a_value": profile.empty,
        }),
        TableState::Unreadable { error } => {
            json!({ "table": name, "state": "unreadable", "reason": error.message(), "hint": error.hint() })
        }
        TableState::Absent { reason } => json!({ "table": name, "state": "absent", "reason": reason }),
    });
    let needs_json = |needs: &BTreeMap<String, Need>| -> Value {
        let needs = needs
            .iter()
            .map(|(table, need)| json!({ "table": table, "is_absent": need.is_absent, "columns": need.columns }));
        needs.collect()
    };
    let kpis = examination.kpis.iter().map(|(name, state)| match state {
        KpiState::Supported { left_out } => json!({ "kpi": name, "state": "supported", "left_out": left_out }),
        KpiState::Doubtful { tables, columns, left_out } => json!({
            "kpi": name,
            "state": "doubtful",
            "without_rows": tables,
            "without_a_value": columns,
            "left_out": left_out,
        }),
        KpiState::Unreadable { tables } => json!({ "kpi": name, "state": "unreadable", "tables": tables }),
        KpiState::Almost { needs } => json!({ "kpi": name, "state": "almost", "needs": needs_json(needs) }),
        KpiState::NotSupported { needs, reason } => {
            json!({ "kpi": name, "state": "not_supported", "needs": needs_json(needs), "reason": reason })
        }
    });
    let missing = examination.missing.iter().map(|missing| {
        json!({
            "table": missing.table,
            "is_absent": missing.is_absent,
            "columns": missing.columns,
            "kpis": missing.kpis,
            "kpis_that_lack_more": missing.with_others,
            "breakdowns": missing.breakdowns,
        })
    });
    let output = match &examination.output {
        OutputState::NotThere => json!({ "state": "not_there" }),
        OutputState::Ready(probe) => json!({
            "state": "ready",
            "version": probe.version,
            "clock_apart_seconds": probe.clock_apart.map(|apart| apart.as_secs_f64()),
        }),
        OutputState::Broken(error) => json!({ "state": "broken", "error": error_json(error) }),
    };
    json!({
        "schema_version": SCHEMA_VERSION,
        "output": output,
        "limits": {
            "memory_bytes": examination.limits.memory,
            "threads": examination.limits.threads,
            "temporary": examination.limits.temporary.display().to_string(),
            "temporary_free_bytes": examination.temporary_free,
            "output_free_bytes": examination.output_free,
        },
        "tables": tables.collect::<Vec<_>>(),
        "kpis": kpis.collect::<Vec<_>>(),
        "missing": missing.collect::<Vec<_>>(),
    })
}
