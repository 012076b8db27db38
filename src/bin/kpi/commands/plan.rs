//! `kpi plan`: what a run would do now: what has changed, which KPIs share a scan, and what each scan reads.
//!
//! What a run would do is in `kpi::engine`; here it is only written.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use kpi::days::DayRanges;
use kpi::engine::{Changed, Engine, EngineOptions, Preview, Read, RunOptions, Scan, ScanKind};
use kpi::error::Result;
use serde_json::{Value, json};

use super::{SCHEMA_VERSION, count, print_json, shown_bytes};
use crate::args::PlanArguments;
use crate::printer::Printer;

pub async fn plan(options: &EngineOptions, arguments: &PlanArguments, printer: &Printer) -> Result<u8> {
    let engine = Engine::open(options).await?;
    printer.diagnostics(&engine.diagnostics(), engine.sources());
    let (select, force, days) = (arguments.select.clone(), arguments.force, arguments.days.days()?);
    let preview = engine.preview(&RunOptions { select, force, days, ..RunOptions::default() }).await?;
    match arguments.json {
        true => print_json(printer, &preview_json(&preview))?,
        false => printer.data(report(&preview))?,
    }
    Ok(0)
}

/// More names than this say nothing more.
const NAMES_AT_MOST: usize = 6;

fn report(preview: &Preview) -> String {
    let Preview { version, unchanged, removed, changed, unusable, scans, apart, .. } = preview;
    let mut lines = Vec::new();
    match (changed.is_empty() && removed.is_empty() && unusable.is_empty(), version) {
        (true, Some(version)) => lines.push(format!("Nothing to do: version {version} has all values")),
        (true, None) => lines.push("Nothing to do".to_owned()),
        (false, _) => lines.push(format!("{} to compute, {} unchanged", count(changed.len(), "KPI"), unchanged.len())),
    }
    lines.extend(changed_lines(changed));
    if !removed.is_empty() {
        let names: Vec<&str> = removed.iter().map(String::as_str).collect();
        lines.push(format!("  no longer defined, to be taken away: {}", some_of(&names)));
    }
    let failing: Vec<(String, &str)> = unusable.iter().map(|(kpi, why)| (kpi.clone(), why.as_str())).collect();
    lines.extend(by_reason(&failing).into_iter().map(|line| format!("  would fail, since{}", &line[1..])));
    for scan in scans.iter().filter(|scan| !scan.days.is_empty()) {
        lines.push(String::new());
        lines.extend(scan_lines(scan));
    }
    if !apart.is_empty() {
        lines.push(String::new());
        lines.push("Not computed in a pass".to_owned());
        lines.extend(by_reason(apart));
    }
    lines.join("\n") + "\n"
}

/// A line for each reason, with the KPIs that have it; those of which only some periods are computed apart.
fn changed_lines(changed: &[Changed]) -> Vec<String> {
    let in_words = |changed: &Changed| match changed.touched.as_ref().and_then(|touched| touched.first_key_value()) {
        Some((_, days)) if !days.is_all() => {
            let unless = if changed.has_members { ", all if members come or go" } else { "" };
            format!("{}, {}{unless}", changed.reason, touched_in_words(days))
        }
        _ => changed.reason.clone(),
    };
    let mut by_reason: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    changed.iter().for_each(|changed| by_reason.entry(in_words(changed)).or_default().push(&changed.kpi));
    by_reason.iter().map(|(reason, names)| format!("  {reason}: {}", some_of(names))).collect()
}

fn touched_in_words(days: &DayRanges) -> String {
    match days.is_empty() {
        true => "but no period is touched, so its values are only audited again".to_owned(),
        false => format!("periods with days {} are touched", days_in_words(days)),
    }
}

/// Ranges of days, of many the first and the last.
fn days_in_words(days: &DayRanges) -> String {
    const RANGES_AT_MOST: usize = 3;
    let range = |(first, last): (NaiveDate, NaiveDate)| match () {
        () if last == NaiveDate::MAX => format!("from {first} on"),
        () if first == NaiveDate::MIN => format!("up to {last}"),
        () if first == last => first.to_string(),
        () => format!("{first} to {last}"),
    };
    let ranges: Vec<(NaiveDate, NaiveDate)> = days.iter().collect();
    match ranges.as_slice() {
        [first, .., last] if ranges.len() > RANGES_AT_MOST => {
            format!("{}, ... and {}", range(*first), range(*last))
        }
        all => all.iter().map(|days| range(*days)).collect::<Vec<_>>().join(", "),
    }
}

/// A line for each reason, with the KPIs that have it.
fn by_reason(kpis: &[(String, &str)]) -> Vec<String> {
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    kpis.iter().for_each(|(name, reason)| by_reason.entry(reason).or_default().push(name));
    by_reason.iter().map(|(reason, names)| format!("  {reason}: {}", some_of(names))).collect()
}

fn scan_lines(Scan { table, kind, kpis, days, reads }: &Scan) -> Vec<String> {
    let names: Vec<&str> = kpis.iter().map(String::as_str).collect();
    let number = count(kpis.len(), "KPI");
    let mut lines = vec![match kind {
        ScanKind::Pass { cells, measures } => {
            let (cells, measures) = (count(*cells, "cell"), count(*measures, "aggregate"));
            format!("One pass over `{table}` for {number}: {cells}, {measures}")
        }
        ScanKind::Derived => format!("The derived table `{table}` made once, for {number}"),
        ScanKind::Rows => format!("The rows of `{table}` once, looked at by {number}"),
        ScanKind::Each { cells } => format!("A query over `{table}`, run {}", times(*cells)),
    }];
    lines.push(format!("  {}", some_of(&names)));
    if !days.is_all() && !days.is_empty() {
        lines.push(format!("  only rows with days {}", days_in_words(days)));
    }
    lines.extend(reads.iter().map(|read| format!("  reads {}", read_in_words(read))));
    lines
}

fn times(number: usize) -> String {
    if number == 1 { "once".to_owned() } else { format!("{number} times") }
}

fn read_in_words(Read { table, files, bytes, columns, sizes, is_derived }: &Read) -> String {
    let columns = match columns.is_empty() {
        true => "no column".to_owned(),
        false => format!("`{}`", columns.join("`, `")),
    };
    if *is_derived {
        return format!("`{table}` as it was made: {columns}");
    }
    let of_files = format!("{}, {}", count(*files, "file"), shown_bytes(*bytes));
    match sizes {
        Some(sizes) => {
            let groups = count(sizes.row_groups, "row group");
            format!("{} of `{table}` ({of_files}, {groups}): {columns}", shown_bytes(sizes.bytes))
        }
        None => format!("`{table}` ({of_files}): {columns}"),
    }
}

fn some_of(names: &[&str]) -> String {
    let shown = names.iter().take(NAMES_AT_MOST).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_AT_MOST) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn preview_json(preview: &Preview) -> Value {
    let reasons = |list: &[(String, &'static str)]| -> Value {
        list.iter().map(|(kpi, reason)| json!({ "kpi": kpi, "reason": reason })).collect()
    };
    let scans: Value = preview.scans.iter().map(scan_json).collect();
    json!({
        "schema_version": SCHEMA_VERSION,
        "version": preview.version,
        "unchanged": preview.unchanged,
        "removed": preview.removed,
        "changed": preview.changed.iter().map(changed_json).collect::<Vec<_>>(),
        "unusable": preview.unusable.iter().map(|(kpi, reason)| json!({ "kpi": kpi, "reason": reason })).collect::<Vec<_>>(),
        "scans": scans,
        "apart": reasons(&preview.apart),
        "plan": preview.planned,
    })
}

fn changed_json(Changed { kpi, reason, touched, has_members }: &Changed) -> Value {
    let by_grain = touched.as_ref().map(|touched| -> BTreeMap<&str, Value> {
        touched.iter().map(|(grain, days)| (grain.name(), days_json(days))).collect()
    });
    json!({ "kpi": kpi, "reason": reason, "touched": by_grain, "is_all_if_members_change": has_members })
}

/// Pairs of a first and a last day, null where there is no end; null where all days are meant.
fn days_json(days: &DayRanges) -> Value {
    if days.is_all() { Value::Null } else { json!(days) }
}

fn scan_json(Scan { table, kind, kpis, days, reads }: &Scan) -> Value {
    let (kind, cells, measures) = match kind {
        ScanKind::Pass { cells, measures } => ("pass", Some(cells), Some(measures)),
        ScanKind::Derived => ("derived", None, None),
        ScanKind::Rows => ("rows", None, None),
        ScanKind::Each { cells } => ("query", Some(cells), None),
    };
    let read = |read: &Read| {
        json!({
            "table": read.table,
            "is_derived": read.is_derived,
            "files": read.files,
            "bytes": read.bytes,
            "columns": read.columns,
            "row_groups": read.sizes.map(|sizes| sizes.row_groups),
            "column_bytes": read.sizes.map(|sizes| sizes.bytes),
        })
    };
    let reads: Value = reads.iter().map(read).collect();
    json!({ "kind": kind, "table": table, "kpis": kpis, "cells": cells, "measures": measures, "days": days_json(days), "reads": reads })
}
