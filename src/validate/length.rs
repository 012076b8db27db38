//! Lengths of time as definitions write them: `90 days`, `1 year`, `24 hours`.

use super::expression::Language;
use crate::diagnostic::Diagnostic;
use crate::model::{Length, Within};
use crate::spec::Spanned;
use crate::time::Grain;

/// Reads a length of the calendar, such as `365 days` or `1 year`; a mistake names the key.
pub(super) fn length(language: &Language, text: &Spanned<String>, key: &str) -> Result<Length, Diagnostic> {
    let text = language.with_settings(text)?;
    read_length(&text).ok_or_else(|| {
        let message = match read_seconds(&text) {
            Some(_) => format!("`{}`: `{key}` counts days of the calendar, or longer", text.value),
            None => format!("`{}` is no length of time", text.value),
        };
        Diagnostic::error("wrong-value", message)
            .at(text.span)
            .hint(format!("write a number and a unit, such as `{key}: 90 days` or `{key}: 3 months`"))
    })
}

/// Reads a length of the calendar, or hours and minutes between two instants.
pub(super) fn within(language: &Language, text: &Spanned<String>, key: &str) -> Result<Within, Diagnostic> {
    match read_seconds(&language.with_settings(text)?) {
        Some(seconds) => Ok(Within::Seconds(seconds)),
        None => length(language, text, key).map(Within::Calendar),
    }
}

/// Reads how long something is to be waited for, which may be no time at all.
pub(super) fn wait(language: &Language, text: &Spanned<String>, key: &str) -> Result<Within, Diagnostic> {
    if language.with_settings(text)?.trim() == "0 days" {
        return Ok(Within::Calendar(Length { count: 0, unit: Grain::Day }));
    }
    length(language, text, key).map(Within::Calendar)
}

/// Reads `1 year` or `3 months`.
pub(super) fn read_length(text: &str) -> Option<Length> {
    let (count, unit) = parts(text)?;
    Some(Length { count, unit: unit.parse().ok()? })
}

fn read_seconds(text: &str) -> Option<i64> {
    let (count, unit) = parts(text)?;
    let seconds = match unit {
        "second" => 1,
        "minute" => 60,
        "hour" => 3_600,
        _ => return None,
    };
    count.checked_mul(seconds)
}

fn parts(text: &str) -> Option<(i64, &str)> {
    /// Longer than any company's history, and short enough for every calendar.
    const LONGEST: i64 = 1_000_000;
    let (count, unit) = text.trim().split_once(char::is_whitespace)?;
    let unit = unit.trim();
    let count: i64 = count.parse().ok().filter(|count| (1..=LONGEST).contains(count))?;
    Some((count, unit.strip_suffix('s').unwrap_or(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_a_number_and_a_unit() {
        assert_eq!(read_length("90 days"), Some(Length { count: 90, unit: Grain::Day }));
        assert_eq!(read_length(" 1  year "), Some(Length { count: 1, unit: Grain::Year }));
        for text in ["", "days", "0 days", "-1 days", "1.5 days", "90", "90days", "9999999 days", "1 hour"] {
            assert_eq!(read_length(text), None, "{text}");
        }
        assert_eq!(read_seconds("24 hours"), Some(86_400));
        assert_eq!(read_seconds("1 day"), None);
    }
}
