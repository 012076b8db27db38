//! `kpi show`: the values of one KPI, now. Nothing is published.

use std::fs;
use std::io::Write;
use std::path::Path;

use comfy_table::Cell;
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Date32Type, Float64Type, Int64Type};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use kpi::engine::{Answer, Engine, EngineOptions};
use kpi::error::{Error, Result};
use kpi::execute::{result_column, result_column_as};
use kpi::location::{cannot_write, replace_file};
use kpi::materialize::{csv, json, markdown, parquet};
use kpi::model::{Model, is_approximate};
use kpi::report::{format_benchmark, format_number, format_period};
use kpi::time::from_epoch_days;

use crate::args::{Format, ShowArguments};
use crate::printer::Printer;
use crate::scorecard::status_cell;
use crate::table::{Column, table};

pub async fn show(options: &EngineOptions, arguments: &ShowArguments, printer: &Printer) -> Result<u8> {
    let format = arguments.format.or_else(|| by_ending(arguments.output.as_deref()?)).unwrap_or(Format::Table);
    if format == Format::Parquet && arguments.output.is_none() && printer.is_terminal() {
        return Err(Error::config("Parquet is nothing to look at on a terminal")
            .with_hint("add `-o FILE.parquet`, or redirect standard output"));
    }
    let engine = Engine::open(options).await?;
    let progress = printer.progress();
    progress.set_message(format!("computing {}", arguments.question.kpi));
    let answer = engine.show(&arguments.question.question()).await;
    progress.finish_and_clear();
    let mut answer = answer?;

    let all = answer.rows.num_rows();
    let shown = arguments.limit.unwrap_or(all).min(all);
    answer.rows = answer.rows.slice(all - shown, shown);
    let rows = std::slice::from_ref(&answer.rows);
    let bytes = match format {
        Format::Table => as_table(printer, &answer, engine.model())?.into_bytes(),
        Format::Csv => csv::encode(&answer.schema, rows)?,
        Format::Json => json::encode(&answer.schema, rows)?,
        Format::Markdown => markdown::encode(&answer.schema, rows)?,
        Format::Parquet => parquet::encode(&answer.schema, rows)?,
    };
    match &arguments.output {
        Some(path) => write(path, &bytes)?,
        None => printer.data(bytes)?,
    }
    if shown < all {
        printer.note(format_args!("the newest {shown} of {all} rows"));
    }
    Ok(0)
}

fn by_ending(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "csv" => Some(Format::Csv),
        "json" => Some(Format::Json),
        "md" => Some(Format::Markdown),
        "parquet" => Some(Format::Parquet),
        _ => None,
    }
}

/// A file is replaced as a whole or left as it was; a device is written to.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if path.exists() && !path.is_file() {
        return fs::OpenOptions::new()
            .write(true)
            .open(path)
            .and_then(|mut file| file.write_all(bytes))
            .map_err(|error| cannot_write(path, error));
    }
    replace_file(path, bytes)
}

pub fn as_table(printer: &Printer, answer: &Answer, model: &Model) -> Result<String> {
    let project = &model.project;
    let rows = Rows::of(answer)?;
    let has_target = answer.kpi.target.is_some();
    let has_status = has_target || (0..rows.count).any(|row| rows.status(row).is_some());
    let mut columns = vec![("Period", Column::Word)];
    columns.extend(answer.cell.dimensions.iter().map(|name| (name.as_str(), Column::Text(9))));
    columns.extend([("Value", Column::Number), ("n", Column::Number)]);
    if has_target {
        columns.push(("Target", Column::Number));
    }
    if has_status {
        columns.push(("Status", Column::Word));
    }

    let options = FormatOptions::new().with_null("(none)");
    let members = answer.cell.dimensions.iter().map(|name| {
        let column = result_column(&answer.rows, name)?;
        ArrayFormatter::try_new(column.as_ref(), &options).map_err(unfit)
    });
    let members = members.collect::<Result<Vec<_>>>()?;
    let (unit, currency) = (answer.kpi.unit.as_deref(), project.currency.as_deref());
    let lines = (0..rows.count).map(|row| {
        let period = from_epoch_days(rows.period_start.as_primitive::<Date32Type>().value(row));
        let period = period.map(|start| format_period(start, answer.cell.grain, &project.calendar));
        let mut cells = vec![Cell::new(period.unwrap_or_default())];
        cells.extend(members.iter().map(|member| Cell::new(member.value(row))));
        cells.push(Cell::new(format_number(float(&rows.value, row), unit, currency)));
        let n = rows.n.is_valid(row).then(|| rows.n.as_primitive::<Int64Type>().value(row) as f64);
        cells.push(Cell::new(format_number(n, None, None)));
        if has_target {
            let target = float(&rows.target, row).map(|target| format_number(Some(target), unit, currency));
            cells.push(Cell::new(target.unwrap_or_default()));
        }
        if has_status {
            cells.push(status_cell(rows.status(row)));
        }
        cells
    });
    let lines = lines.collect();
    let near = match is_approximate(model, &answer.kpi.name) {
        true => "\nThe values are approximate, as the definition says.\n",
        false => "",
    };
    let mut text = format!("{}\n\n{}{near}", title(answer), table(printer, &columns, lines));
    if !answer.kpi.benchmarks.is_empty() {
        text.push('\n');
    }
    for benchmark in &answer.kpi.benchmarks {
        text.push_str(&format!("Benchmark: {}\n", format_benchmark(benchmark, unit, currency)));
    }
    Ok(text)
}

/// `Close rate (close_rate) by month and channel`.
fn title(answer: &Answer) -> String {
    let mut by = vec![answer.cell.grain.name()];
    by.extend(answer.cell.dimensions.iter().map(String::as_str));
    let by = match by.split_last() {
        Some((last, front)) if !front.is_empty() => format!("{} and {last}", front.join(", ")),
        _ => by.join(""),
    };
    format!("{} ({}) by {by}", answer.kpi.label, answer.kpi.name)
}

/// The columns that the table needs, in the types that it needs.
struct Rows {
    count: usize,
    period_start: ArrayRef,
    value: ArrayRef,
    n: ArrayRef,
    target: ArrayRef,
    status: ArrayRef,
    is_complete: ArrayRef,
    is_ripe: ArrayRef,
}

impl Rows {
    fn of(answer: &Answer) -> Result<Rows> {
        let typed = |name: &str, data_type: DataType| result_column_as(&answer.rows, name, &data_type);
        Ok(Rows {
            count: answer.rows.num_rows(),
            period_start: typed("period_start", DataType::Date32)?,
            value: typed("value", DataType::Float64)?,
            n: typed("n", DataType::Int64)?,
            target: typed("target", DataType::Float64)?,
            status: typed("status", DataType::Utf8)?,
            is_complete: typed("is_complete", DataType::Boolean)?,
            is_ripe: typed("is_ripe", DataType::Boolean)?,
        })
    }

    /// The status; where nothing is wanted, at least whether the period is still open or the value unripe.
    fn status(&self, row: usize) -> Option<&str> {
        let written = self.status.is_valid(row).then(|| self.status.as_string::<i32>().value(row));
        let is_open = !self.is_complete.as_boolean().value(row);
        let is_unripe = !self.is_ripe.as_boolean().value(row);
        written.or(is_open.then_some("open")).or(is_unripe.then_some("unripe"))
    }
}

fn float(column: &ArrayRef, row: usize) -> Option<f64> {
    column.is_valid(row).then(|| column.as_primitive::<Float64Type>().value(row))
}

fn unfit(error: datafusion::arrow::error::ArrowError) -> Error {
    Error::internal("the result cannot be shown as a table").with_source(error)
}
