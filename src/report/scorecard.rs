//! The scorecard: for each KPI its last complete period at the grain that people look at, beside the period before.
//!
//! An open period is never shown here, since comparing it with a whole one would mislead. Of a KPI whose values need time to
//! ripen it is the last ripe one; only where none is ripe yet, an unripe one is shown and marked.

use chrono::NaiveDate;
use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Date32Type, Float64Type, Int64Type};
use serde::{Deserialize, Serialize};

use crate::compile::{BREAKDOWN_OVERALL, breakdown};
use crate::days::text;
use crate::error::Result;
use crate::execute::result_column_as;
use crate::model::{Better, Kpi};
use crate::time::{Calendar, Grain, from_epoch_days};

/// One line for each KPI.
#[derive(Debug, Clone, Default)]
pub struct Scorecard {
    pub rows: Vec<ScorecardRow>,
}

/// The last complete period of a KPI.
#[derive(Debug, Clone)]
pub struct ScorecardRow {
    pub kpi: String,
    pub label: String,
    pub tag: Option<String>,
    pub unit: Option<String>,
    pub better: Better,
    pub grain: Grain,
    /// Where there is a complete period.
    pub latest: Option<Latest>,
    /// Why there is no single value, where there is none.
    pub note: Option<String>,
}

/// What the scorecard says of a KPI's values; it can be kept beside them, so that they need not be read again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Headline {
    /// Of the periods that were looked at.
    grain: String,
    /// Where there is a complete one.
    latest: Option<Latest>,
}

/// A value and what it is compared with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Latest {
    #[serde(with = "text")]
    pub period_start: NaiveDate,
    pub value: Option<f64>,
    /// The value of the period before, if that exists.
    pub before: Option<f64>,
    pub n: i64,
    pub target: Option<f64>,
    pub status: Option<String>,
    /// Whether the value has had the time that its definition asks for.
    pub is_ripe: bool,
}

/// What is said of the published rows of a KPI.
///
/// # Errors
/// `Internal` where a column that every KPI has is missing.
pub fn headline(kpi: &Kpi, rows: &RecordBatch, calendar: &Calendar) -> Result<Headline> {
    let grain = shown_grain(kpi);
    let mut headline = Headline { grain: grain.name().to_owned(), latest: None };
    if !kpi.required_dimensions.is_empty() {
        return Ok(headline);
    }
    let columns = Columns::of(rows)?;
    let overall = (0..rows.num_rows()).filter(|row| columns.is_overall(*row, grain));
    let complete: Vec<usize> = overall.filter(|row| columns.is_complete.value(*row)).collect();
    // A ripe period before a younger one.
    let age = |row: &usize| (columns.is_ripe.value(*row), columns.period_start.value(*row));
    let Some(last) = complete.iter().copied().max_by_key(age) else { return Ok(headline) };
    let Some(period_start) = from_epoch_days(columns.period_start.value(last)) else { return Ok(headline) };
    let earlier = calendar.shift(period_start, grain, -1).map(crate::time::to_epoch_days);
    let before = complete.iter().copied().find(|row| Some(columns.period_start.value(*row)) == earlier);
    headline.latest = Some(Latest {
        period_start,
        value: columns.value(last),
        before: before.and_then(|before| columns.value(before)),
        n: columns.n.value(last),
        target: columns.target.is_valid(last).then(|| columns.target.value(last)),
        status: columns.status.is_valid(last).then(|| columns.status.value(last).to_owned()),
        is_ripe: columns.is_ripe.value(last),
    });
    Ok(headline)
}

/// The line of one KPI. `None` where the headline was made for another grain.
pub fn scorecard_row(kpi: &Kpi, headline: &Headline) -> Option<ScorecardRow> {
    let grain = shown_grain(kpi);
    let note = match &headline.latest {
        _ if !kpi.required_dimensions.is_empty() => {
            Some(format!("by {}; see `kpi show {}`", breakdown(&kpi.required_dimensions), kpi.name))
        }
        Some(_) => None,
        None => Some(format!("no complete {grain} yet")),
    };
    (headline.grain == grain.name()).then(|| ScorecardRow {
        kpi: kpi.name.clone(),
        label: kpi.label.clone(),
        tag: kpi.tags.first().cloned(),
        unit: kpi.unit.clone(),
        better: kpi.better,
        grain,
        latest: headline.latest.clone(),
        note,
    })
}

/// The grain that people look at.
fn shown_grain(kpi: &Kpi) -> Grain {
    kpi.grains.first().copied().unwrap_or(Grain::Month)
}

struct Columns {
    grain: datafusion::arrow::array::StringArray,
    breakdown: datafusion::arrow::array::StringArray,
    status: datafusion::arrow::array::StringArray,
    period_start: datafusion::arrow::array::Date32Array,
    values: datafusion::arrow::array::Float64Array,
    target: datafusion::arrow::array::Float64Array,
    n: datafusion::arrow::array::Int64Array,
    is_complete: datafusion::arrow::array::BooleanArray,
    is_ripe: datafusion::arrow::array::BooleanArray,
}

impl Columns {
    fn of(rows: &RecordBatch) -> Result<Columns> {
        let column = |name: &str, data_type: DataType| result_column_as(rows, name, &data_type);
        Ok(Columns {
            grain: column("grain", DataType::Utf8)?.as_string::<i32>().clone(),
            breakdown: column("breakdown", DataType::Utf8)?.as_string::<i32>().clone(),
            status: column("status", DataType::Utf8)?.as_string::<i32>().clone(),
            period_start: column("period_start", DataType::Date32)?.as_primitive::<Date32Type>().clone(),
            values: column("value", DataType::Float64)?.as_primitive::<Float64Type>().clone(),
            target: column("target", DataType::Float64)?.as_primitive::<Float64Type>().clone(),
            n: column("n", DataType::Int64)?.as_primitive::<Int64Type>().clone(),
            is_complete: column("is_complete", DataType::Boolean)?.as_boolean().clone(),
            is_ripe: column("is_ripe", DataType::Boolean)?.as_boolean().clone(),
        })
    }

    fn is_overall(&self, row: usize, grain: Grain) -> bool {
        self.breakdown.value(row) == BREAKDOWN_OVERALL && self.grain.value(row) == grain.name()
    }

    fn value(&self, row: usize) -> Option<f64> {
        self.values.is_valid(row).then(|| self.values.value(row))
    }
}
