//! Numbers and periods as people read them: thousands apart, the unit with it, missing shown as missing.

use chrono::{Datelike, NaiveDate};

use crate::time::{Calendar, Grain};

/// A value with its unit. `percent` shows a share of 0.25 as `25.0 %`; `currency` shows the code of the project.
pub fn format_number(value: Option<f64>, unit: Option<&str>, currency: Option<&str>) -> String {
    let Some(value) = value else { return "-".to_owned() };
    match unit {
        Some("percent") => format!("{} %", grouped(value * 100.0, 1)),
        Some("currency") => match currency {
            Some(code) => format!("{} {code}", grouped(value, money_digits(value))),
            None => grouped(value, money_digits(value)),
        },
        Some(unit) => format!("{} {}", grouped(value, digits(value)), counted(value, unit)),
        None => grouped(value, digits(value)),
    }
}

/// The change from one value to the next: in percentage points for shares, else in percent of the earlier value.
pub fn format_change(value: Option<f64>, before: Option<f64>, unit: Option<&str>) -> String {
    let (Some(value), Some(before)) = (value, before) else { return "-".to_owned() };
    let sign = |change: f64| if change > 0.0 { "+" } else { "" };
    if unit == Some("percent") {
        let change = (value - before) * 100.0;
        return format!("{}{} pp", sign(rounded(change)), grouped(change, 1));
    }
    // A share of nothing, or of a debt, says nothing.
    if before <= 0.0 {
        let change = value - before;
        return format!("{}{}", sign(change), grouped(change, digits(change)));
    }
    let change = (value / before - 1.0) * 100.0;
    format!("{}{} %", sign(rounded(change)), grouped(change, 1))
}

/// The name of a period: `2025-03`, `2025 Q1`, `2025-W09`, `2025`, `2025-03-31`. A fiscal year is named by its last day's
/// year, as `FY2025`; quarters of it likewise. A week that starts on another day than Monday is named by its first day.
pub fn format_period(start: NaiveDate, grain: Grain, calendar: &Calendar) -> String {
    let fiscal = calendar.fiscal_year_starts != 1;
    match grain {
        Grain::Day => start.to_string(),
        Grain::Week if calendar.week_starts == chrono::Weekday::Mon => start.format("%G-W%V").to_string(),
        Grain::Week => format!("week of {start}"),
        Grain::Month => start.format("%Y-%m").to_string(),
        Grain::Quarter if fiscal => {
            let quarter = ((start.month0() + 12 - (calendar.fiscal_year_starts - 1)) % 12) / 3 + 1;
            format!("FY{} Q{quarter}", fiscal_year(start, calendar))
        }
        Grain::Quarter => format!("{} Q{}", start.year(), start.month0() / 3 + 1),
        Grain::Year if fiscal => format!("FY{}", fiscal_year(start, calendar)),
        Grain::Year => start.year().to_string(),
    }
}

/// One case, two cases.
fn counted(value: f64, unit: &str) -> &str {
    match unit.strip_suffix('s') {
        Some(one) if value == 1.0 && !one.ends_with('s') => one,
        _ => unit,
    }
}

fn fiscal_year(day: NaiveDate, calendar: &Calendar) -> i32 {
    if day.month() >= calendar.fiscal_year_starts { day.year() + 1 } else { day.year() }
}

fn digits(value: f64) -> usize {
    match value.abs() {
        _ if value.fract() == 0.0 => 0,
        size if size >= 1_000.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    }
}

fn money_digits(value: f64) -> usize {
    if value.abs() >= 1_000.0 { 0 } else { 2 }
}

fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// A number with thousands apart and so many decimals.
fn grouped(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let is_zero = text.chars().all(|digit| matches!(digit, '0' | '.'));
    let sign = if value < 0.0 && !is_zero { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{grouped}") } else { format!("{sign}{grouped}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_read_them() {
        let cases = [
            (Some(0.25), Some("percent"), "25.0 %"),
            (Some(1234567.891), Some("currency"), "1,234,568 USD"),
            (Some(12.5), Some("currency"), "12.50 USD"),
            (Some(3.0), Some("leads"), "3 leads"),
            (Some(1.0), Some("cases"), "1 case"),
            (Some(-0.001), Some("percent"), "-0.1 %"),
            (Some(-0.0001), None, "0.00"),
            (Some(1e15), None, "1,000,000,000,000,000"),
            (None, Some("percent"), "-"),
        ];
        for (value, unit, expected) in cases {
            assert_eq!(format_number(value, unit, Some("USD")), expected);
        }
    }

    #[test]
    fn changes_of_shares_are_in_points() {
        assert_eq!(format_change(Some(0.30), Some(0.25), Some("percent")), "+5.0 pp");
        assert_eq!(format_change(Some(90.0), Some(100.0), Some("currency")), "-10.0 %");
        assert_eq!(format_change(Some(5.0), Some(0.0), None), "+5");
        assert_eq!(format_change(Some(5.0), None, None), "-");
    }

    #[test]
    fn periods_have_names() {
        let plain = Calendar::default();
        let fiscal = Calendar { fiscal_year_starts: 4, ..Calendar::default() };
        let day = |text: &str| text.parse().unwrap();
        assert_eq!(format_period(day("2024-12-30"), Grain::Week, &plain), "2025-W01");
        assert_eq!(format_period(day("2025-04-01"), Grain::Quarter, &plain), "2025 Q2");
        assert_eq!(format_period(day("2025-04-01"), Grain::Quarter, &fiscal), "FY2026 Q1");
        assert_eq!(format_period(day("2025-01-01"), Grain::Quarter, &fiscal), "FY2025 Q4");
        assert_eq!(format_period(day("2025-04-01"), Grain::Year, &fiscal), "FY2026");
    }
}
