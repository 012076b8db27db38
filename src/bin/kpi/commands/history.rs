//! `kpi history`: the versions that runs have published.

use comfy_table::Cell;
use kpi::engine::{Engine, EngineOptions};
use kpi::error::Result;
use kpi::report::{Headline, KPI_VALUES, format_number, format_period, scorecard_row};
use kpi::store::LogRecord;
use serde_json::{Value, json};

use super::{SCHEMA_VERSION, days_looked_from, print_json, shown_time};
use crate::args::HistoryArguments;
use crate::printer::Printer;
use crate::table::{Column, table};

pub async fn history(options: &EngineOptions, arguments: &HistoryArguments, printer: &Printer) -> Result<u8> {
    let engine = Engine::open(options).await?;
    let kpi = arguments.kpi.as_deref();
    let records = engine.history(kpi, arguments.limit).await?;
    if arguments.json {
        let versions: Value = records.iter().map(record_json).collect();
        print_json(printer, &json!({ "schema_version": SCHEMA_VERSION, "versions": versions }))?;
        return Ok(0);
    }
    if records.is_empty() {
        printer.note(format_args!("nothing was published yet at {}", engine.model().project.output));
        return Ok(0);
    }
    let text = match kpi {
        Some(kpi) => of_kpi(&engine, kpi, &records, printer),
        None => of_all(&records, printer),
    };
    printer.data(text)?;
    for pair in records.windows(2).filter(|_| kpi.is_none()) {
        for missing in pair[1].version + 1..pair[0].version {
            printer.warning(format_args!("version {missing} is missing from the log"));
        }
    }
    Ok(0)
}

fn of_all(records: &[LogRecord], printer: &Printer) -> String {
    let columns = [
        ("Version", Column::Number),
        ("Published", Column::Word),
        ("Looked at from", Column::Text(14)),
        ("KPIs", Column::Number),
        ("Written", Column::Number),
        ("Removed", Column::Number),
        ("Values", Column::Number),
        ("", Column::Word),
    ];
    let row = |record: &LogRecord| {
        let values: u64 = of_kpis(record).map(|(_, entry)| entry.rows).sum();
        let number = |number: usize| Cell::new(format_number(Some(number as f64), None, None));
        let restored = record.restores.map(|version| format!("as version {version}")).unwrap_or_default();
        vec![
            Cell::new(record.version),
            Cell::new(shown_time(&record.created_at)),
            Cell::new(days_looked_from(record.as_of.as_deref()).0.unwrap_or_default()),
            number(of_kpis(record).count()),
            number(brought(record).len()),
            number(record.removed.iter().filter(|kpi| *kpi != KPI_VALUES).count()),
            Cell::new(format_number(Some(values as f64), None, None)),
            Cell::new(restored),
        ]
    };
    table(printer, &columns, records.iter().map(row).collect())
}

fn of_kpi(engine: &Engine, name: &str, records: &[LogRecord], printer: &Printer) -> String {
    let columns = [
        ("Version", Column::Number),
        ("Published", Column::Word),
        ("Period", Column::Word),
        ("Value", Column::Number),
        ("Values", Column::Number),
        ("Changes", Column::Text(20)),
    ];
    let project = &engine.model().project;
    let row = |record: &LogRecord| {
        let mut cells = vec![Cell::new(record.version), Cell::new(shown_time(&record.created_at))];
        let Some(entry) = record.kpis.get(name) else {
            cells.extend(["", "", "", "removed"].map(Cell::new));
            return cells;
        };
        let kpi = engine.model().kpis.get(name);
        let headline = entry.headline.clone().and_then(|kept| serde_json::from_value::<Headline>(kept).ok());
        let shown = kpi.zip(headline).and_then(|(kpi, headline)| scorecard_row(kpi, &headline));
        let latest = shown.as_ref().and_then(|row| row.latest.as_ref().map(|latest| (row, latest)));
        let (period, value) = match latest {
            Some((row, latest)) => (
                format_period(latest.period_start, row.grain, &project.calendar),
                format_number(latest.value, row.unit.as_deref(), project.currency.as_deref()),
            ),
            None => Default::default(),
        };
        let changes = entry.audit.iter().find(|audit| audit.name == "changes");
        let changes = match record.restores {
            Some(version) => format!("as version {version}"),
            None => changes.and_then(|audit| audit.detail.clone()).unwrap_or_else(|| "none".into()),
        };
        cells.extend([
            Cell::new(period),
            Cell::new(value),
            Cell::new(format_number(Some(entry.rows as f64), None, None)),
            Cell::new(changes),
        ]);
        cells
    };
    table(printer, &columns, records.iter().map(row).collect())
}

fn of_kpis(record: &LogRecord) -> impl Iterator<Item = (&String, &kpi::store::Entry)> {
    record.kpis.iter().filter(|(name, _)| *name != KPI_VALUES)
}

/// The KPIs whose results a version brought.
fn brought(record: &LogRecord) -> Vec<&String> {
    of_kpis(record).filter(|(_, entry)| entry.committed_in == record.version).map(|(name, _)| name).collect()
}

fn record_json(record: &LogRecord) -> Value {
    let (as_of, complete_until) = days_looked_from(record.as_of.as_deref());
    json!({
        "version": record.version,
        "published": record.created_at,
        "run": record.run_id,
        "parent": record.parent,
        "restores": record.restores,
        "program": record.program,
        "as_of": as_of,
        "complete_until": complete_until,
        "kpis": of_kpis(record).count(),
        "values": of_kpis(record).map(|(_, entry)| entry.rows).sum::<u64>(),
        "written": brought(record),
        "removed": record.removed.iter().filter(|kpi| *kpi != KPI_VALUES).collect::<Vec<_>>(),
    })
}
