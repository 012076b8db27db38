//! What a result must satisfy before anybody sees it: not empty, one row for each period and member, finite values.
//!
//! An audit judges rows and changes none. What it finds goes into the log record; a failure keeps the KPI from being
//! published.

use std::collections::{HashMap, HashSet};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::arrow::row::{Row, RowConverter, Rows, SortField};

use crate::error::Result;
use crate::execute::{KpiResult, query_error, result_column_as};
use crate::model::Kpi;
use crate::report::is_same_value;
use crate::store::{Audit, AuditStatus};

/// Judges a result, or the part of it that was computed, and compares it with what was published in its place. `count` is
/// the number of rows of the whole.
///
/// # Errors
/// `Internal` where columns that every result has are missing.
pub fn audit(
    result: &KpiResult,
    before: Option<&RecordBatch>,
    count: usize,
    without_time: Option<i64>,
) -> Result<Vec<Audit>> {
    let mut audits = vec![not_empty(count), unique(result)?, finite(result)?];
    if let Some(rows) = without_time {
        audits.push(Audit {
            name: "has_time".into(),
            status: AuditStatus::Warned,
            detail: Some(without_a_time(&result.kpi, rows)),
        });
    }
    audits.push(changes(result, before)?);
    Ok(audits)
}

fn without_a_time(kpi: &Kpi, rows: i64) -> String {
    let (table, time) = match kpi.aggregate() {
        Some(aggregate) => (format!("`{}`", aggregate.table), format!("`{}`", aggregate.time_name)),
        None => ("its table".to_owned(), "time".to_owned()),
    };
    match rows {
        1 => format!("1 row of {table} has no {time} and belongs to no period"),
        rows => format!("{rows} rows of {table} have no {time} and belong to no period"),
    }
}

/// The audit that finds a result without rows.
pub const NOT_EMPTY: &str = "not_empty";

fn passed(name: &str) -> Audit {
    Audit { name: name.into(), status: AuditStatus::Passed, detail: None }
}

fn failed(name: &str, detail: impl Into<String>) -> Audit {
    Audit { name: name.into(), status: AuditStatus::Failed, detail: Some(detail.into()) }
}

fn not_empty(count: usize) -> Audit {
    match count {
        0 => failed(
            NOT_EMPTY,
            "no row of the table counts; if that can be, say so with `fill: zero`, else look at `where`",
        ),
        _ => passed(NOT_EMPTY),
    }
}

/// The columns that identify a row: everything in front of `value` but the period's end.
fn key_columns(rows: &RecordBatch) -> Vec<usize> {
    let names: Vec<&str> = rows.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
    let value = names.iter().position(|name| *name == "value").unwrap_or(names.len());
    (0..value).filter(|index| names[*index] != "period_end").collect()
}

/// The keys of rows in a form that compares quickly.
struct Keys {
    converter: RowConverter,
    rows: Rows,
}

impl Keys {
    fn of(rows: &RecordBatch) -> Result<Keys> {
        let columns = Keys::columns(rows);
        let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
        let converter = RowConverter::new(fields).map_err(|error| query_error(error.into()))?;
        let rows = converter.convert_columns(&columns).map_err(|error| query_error(error.into()))?;
        Ok(Keys { converter, rows })
    }

    /// The keys of other rows with the same key columns, to compare with these.
    fn of_others(&self, rows: &RecordBatch) -> Result<Rows> {
        self.converter.convert_columns(&Keys::columns(rows)).map_err(|error| query_error(error.into()))
    }

    fn columns(rows: &RecordBatch) -> Vec<ArrayRef> {
        key_columns(rows).into_iter().map(|index| rows.column(index).clone()).collect()
    }
}

fn unique(result: &KpiResult) -> Result<Audit> {
    let keys = Keys::of(&result.rows)?;
    let mut seen = HashSet::with_capacity(keys.rows.num_rows());
    Ok(match keys.rows.iter().filter(|key| !seen.insert(*key)).count() {
        0 => passed("unique"),
        count => failed("unique", format!("{count} rows repeat a period and member")),
    })
}

fn values(rows: &RecordBatch) -> Result<datafusion::arrow::array::Float64Array> {
    let values = result_column_as(rows, "value", &DataType::Float64)?;
    Ok(values.as_primitive::<Float64Type>().clone())
}

fn finite(result: &KpiResult) -> Result<Audit> {
    let broken = values(&result.rows)?.iter().flatten().filter(|value| !value.is_finite()).count();
    Ok(match broken {
        0 => passed("finite"),
        count => failed(
            "finite",
            format!("{count} values are NaN or infinite; the data holds such numbers, or its query divides by 0"),
        ),
    })
}

/// How the values differ from those published before. Never a failure: that data changes is what runs are for.
fn changes(result: &KpiResult, before: Option<&RecordBatch>) -> Result<Audit> {
    let name = "changes";
    let Some(before) = before else {
        return Ok(Audit { name: name.into(), status: AuditStatus::Skipped, detail: Some("first version".into()) });
    };
    let columns = |rows: &RecordBatch| -> Vec<(String, DataType)> {
        let fields = rows.schema().fields().clone();
        fields.iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
    };
    let key_names = |rows: &RecordBatch| -> Vec<(String, DataType)> {
        let all = columns(rows);
        key_columns(rows).into_iter().map(|index| all[index].clone()).collect()
    };
    if key_names(before) != key_names(&result.rows) {
        return Ok(Audit {
            name: name.into(),
            status: AuditStatus::Passed,
            detail: Some("the dimensions changed".into()),
        });
    }
    let keys = Keys::of(&result.rows)?;
    let old_keys = keys.of_others(before)?;
    let (old_values, new_values) = (values(before)?, values(&result.rows)?);
    let old: HashMap<Row<'_>, Option<f64>> = old_keys.iter().zip(old_values.iter()).collect();
    let (mut added, mut changed, mut kept) = (0, 0, 0);
    for (key, value) in keys.rows.iter().zip(new_values.iter()) {
        match old.get(&key) {
            None => added += 1,
            Some(before) => {
                kept += 1;
                changed += usize::from(!is_same_value(*before, value));
            }
        }
    }
    let gone = old.len() - kept;
    let detail = (changed + added + gone > 0).then(|| format!("values: {changed} changed, {added} new, {gone} gone"));
    Ok(Audit { name: name.into(), status: AuditStatus::Passed, detail })
}
