//! The scorecard as text: one line for each KPI, grouped by tag, with a shape and a word for its status.
//!
//! The numbers come from the library as they are; only their layout is decided here.

use std::collections::BTreeMap;

use comfy_table::{Attribute, Cell, Color};
use kpi::model::Project;
use kpi::report::{Scorecard, ScorecardRow, format_change, format_number, format_period};

use crate::printer::Printer;
use crate::table::{Column, table};

/// What rows without a tag stand under, where others have one.
const WITHOUT_TAG: &str = "other";

pub fn scorecard_table(printer: &Printer, scorecard: &Scorecard, project: &Project) -> String {
    let columns = [
        ("KPI", Column::Text(14)),
        ("Period", Column::Word),
        ("Value", Column::Number),
        ("Change", Column::Number),
        ("Target", Column::Number),
        ("Status", Column::Word),
    ];
    // Those without a tag come last.
    let mut groups: BTreeMap<(bool, &str), Vec<&ScorecardRow>> = BTreeMap::new();
    for row in scorecard.rows.iter().filter(|row| row.latest.is_some()) {
        let tag = row.tag.as_deref();
        groups.entry((tag.is_none(), tag.unwrap_or(WITHOUT_TAG))).or_default().push(row);
    }
    let has_groups = groups.len() > 1;
    let mut rows = Vec::new();
    for ((_, tag), members) in groups {
        if has_groups {
            rows.push(vec![Cell::new(tag).add_attribute(Attribute::Bold)]);
        }
        // Where labels may wrap, plain spaces in front of them would be dropped.
        let indent = match (has_groups, printer.is_terminal()) {
            (true, true) => "\u{a0}\u{a0}",
            (true, false) => "  ",
            (false, _) => "",
        };
        rows.extend(members.into_iter().filter_map(|row| line(row, indent, project)));
    }
    let table = if rows.is_empty() { String::new() } else { table(printer, &columns, rows) };
    table + &without_value(scorecard)
}

/// KPIs without a single value of a complete period, and why.
fn without_value(scorecard: &Scorecard) -> String {
    let rows: Vec<&ScorecardRow> = scorecard.rows.iter().filter(|row| row.latest.is_none()).collect();
    if rows.is_empty() {
        return String::new();
    }
    let lines = rows.iter().map(|row| format!("  {}: {}\n", row.label, row.note.as_deref().unwrap_or("no value yet")));
    format!("\nWithout a single value:\n{}", lines.collect::<String>())
}

fn line(row: &ScorecardRow, indent: &str, project: &Project) -> Option<Vec<Cell>> {
    let latest = row.latest.as_ref()?;
    let unit = row.unit.as_deref();
    let number = |value| format_number(value, unit, project.currency.as_deref());
    Some(vec![
        Cell::new(format!("{indent}{}", row.label)),
        Cell::new(format_period(latest.period_start, row.grain, &project.calendar)),
        Cell::new(number(latest.value)),
        Cell::new(format_change(latest.value, latest.before, unit)),
        Cell::new(latest.target.map(|target| number(Some(target))).unwrap_or_default()),
        status_cell(latest.status.as_deref().or((!latest.is_ripe).then_some("unripe"))),
    ])
}

/// A status with a shape, so that it can be told without colors.
pub fn status_cell(status: Option<&str>) -> Cell {
    match status {
        None => Cell::new(""),
        Some("on_track") => Cell::new("● on track").fg(Color::Green),
        Some("at_risk") => Cell::new("▲ at risk").fg(Color::Yellow),
        Some("off_track") => Cell::new("■ off track").fg(Color::Red),
        Some("critical") => Cell::new("■ critical").fg(Color::Red).add_attribute(Attribute::Bold),
        Some("open") => Cell::new("○ open").add_attribute(Attribute::Dim),
        Some("unripe") => Cell::new("◌ unripe").add_attribute(Attribute::Dim),
        Some("no_data") => Cell::new("- no data").add_attribute(Attribute::Dim),
        Some("small_n") => Cell::new("- too few").add_attribute(Attribute::Dim),
        Some(other) => Cell::new(other),
    }
}
