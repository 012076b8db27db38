//! `close_rate by region last 12 months`: a question about a KPI in the words of people in a hurry.

use chrono::NaiveDate;
use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Date32Type};
use kpi::engine::{Answer, Question};
use kpi::error::{Error, Result};
use kpi::execute::result_column_as;
use kpi::report::format_period;
use kpi::time::{Calendar, Grain, from_epoch_days, to_epoch_days};

/// What was asked.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    pub question: Question,
    /// Only so many of the last periods.
    pub last: Option<usize>,
}

const HOW: &str = "write `close_rate by region last 12 months`, `close_rate by month` or `close_rate since 2025-01-01`";

/// Reads a question. Several dimensions are divided by commas or `and`; a grain may stand among them.
///
/// # Errors
/// `Config` with how to write it.
pub fn read_question(text: &str) -> Result<Asked> {
    let spaced = text.replace(',', " , ").replace(';', " ");
    let mut words = spaced.split_whitespace().peekable();
    let wrong = |what: String| Error::config(what).with_hint(HOW);
    let name = words.next().ok_or_else(|| wrong("which KPI?".to_owned()))?;
    let mut asked = Asked { question: Question { kpi: name.to_owned(), ..Question::default() }, last: None };
    let question = &mut asked.question;
    while let Some(word) = words.next() {
        match word.to_lowercase().as_str() {
            "by" | "per" => loop {
                let name = words.next().ok_or_else(|| wrong("by what?".to_owned()))?;
                match grain_of(name) {
                    Some(grain) => question.grain = Some(grain),
                    None => question.by.push(name.to_owned()),
                }
                match words.peek().map(|word| word.to_lowercase()).as_deref() {
                    Some("," | "and") => words.next(),
                    _ => break,
                };
            },
            "since" | "from" => {
                let day = words.next().unwrap_or_default();
                question.since = Some(read_day(day).ok_or_else(|| wrong(format!("`{day}` is no day")))?);
            }
            "last" => {
                let number = words.next().unwrap_or_default();
                let (count, unit) = match number.parse::<usize>() {
                    Ok(count) => (count, words.next().unwrap_or_default()),
                    Err(_) if grain_of(number).is_some() => (1, number),
                    Err(_) => (1, ""),
                };
                let grain = grain_of(unit)
                    .ok_or_else(|| wrong(format!("`last {}` is no time", [number, unit].join(" ").trim())))?;
                if count == 0 {
                    return Err(wrong("`last 0` is none".to_owned()));
                }
                if question.grain.is_some_and(|known| known != grain) {
                    return Err(wrong(format!(
                        "the periods are {}s, and not {grain}s",
                        question.grain.unwrap_or(grain)
                    )));
                }
                question.grain = Some(grain);
                asked.last = Some(count);
            }
            other => match grain_of(other) {
                Some(grain) => question.grain = Some(grain),
                None => return Err(wrong(format!("`{word}` is not understood"))),
            },
        }
    }
    Ok(asked)
}

/// A day, or the first one of a month or a year.
fn read_day(text: &str) -> Option<NaiveDate> {
    let whole = match text.len() {
        4 => format!("{text}-01-01"),
        7 => format!("{text}-01"),
        _ => text.to_owned(),
    };
    NaiveDate::parse_from_str(&whole, "%Y-%m-%d").ok()
}

/// The first day of a period that is written as periods are shown, and its grain; of a day alone any period may be meant.
pub fn read_period(text: &str, calendar: &Calendar) -> Option<(NaiveDate, Option<Grain>)> {
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Some((day, None));
    }
    let plain = text.to_uppercase().replace("-Q", " Q");
    let year: i32 = plain.trim_start_matches("FY").get(..4)?.parse().ok()?;
    // A fiscal year is named by its last day.
    let begins = NaiveDate::from_ymd_opt(year - 1, 1, 1)?;
    let is_it = |start: NaiveDate, grain: Grain| {
        let name = format_period(start, grain, calendar).to_uppercase();
        name == plain || name == format!("FY{plain}")
    };
    let grains = [Grain::Year, Grain::Quarter, Grain::Month, Grain::Week];
    grains.into_iter().find_map(|grain| {
        let starts = begins
            .iter_days()
            .take(3 * 366)
            .filter_map(|day| calendar.period_start(day, grain).filter(|start| *start == day));
        starts.into_iter().find(|start| is_it(*start, grain)).map(|start| (start, Some(grain)))
    })
}

fn grain_of(word: &str) -> Option<Grain> {
    let word = word.to_lowercase();
    let word = match word.as_str() {
        "daily" | "days" => "day",
        "weekly" | "weeks" => "week",
        "monthly" | "months" => "month",
        "quarterly" | "quarters" => "quarter",
        "yearly" | "years" => "year",
        other => other,
    };
    word.parse().ok()
}

/// The rows of the last periods: those that end with the last one of which there is a row, also where some between have none.
///
/// # Errors
/// `Internal` where the rows have no periods.
pub fn last_periods(answer: &Answer, count: usize, calendar: &Calendar) -> Result<RecordBatch> {
    let rows = &answer.rows;
    let starts = result_column_as(rows, "period_start", &DataType::Date32)?;
    let starts = starts.as_primitive::<Date32Type>();
    let last = starts.iter().flatten().max().and_then(from_epoch_days);
    let back = i64::try_from(count).unwrap_or(i64::MAX).saturating_sub(1);
    let first = last.and_then(|last| calendar.shift(last, answer.cell.grain, -back));
    let Some(first) = first.map(to_epoch_days) else { return Ok(rows.clone()) };
    // Rows are in the order of their periods.
    let at = (0..rows.num_rows()).find(|row| starts.is_valid(*row) && starts.value(*row) >= first).unwrap_or(0);
    Ok(rows.slice(at, rows.num_rows() - at))
}
