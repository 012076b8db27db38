//! A `.sql` file: YAML in a leading `/* --- ... --- */` comment, then one query.
//!
//! Finds where the two lie. Neither is read here, and the query is not checked.

use std::ops::Range;

use crate::diagnostic::{Diagnostic, FileId, Span};

/// Where the header's YAML and the query lie in the file, or what is missing.
pub(super) fn split(file: FileId, text: &str) -> Result<(Range<usize>, Range<usize>), Box<Diagnostic>> {
    let start = text.len() - text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}').len();
    let first_line = start..start + text[start..].find(['\n', '\r']).unwrap_or(text.len() - start);
    let missing = |message: &str, place: Range<usize>| {
        let mistake = Diagnostic::error("missing-header", message)
            .at(Span { file, start: place.start, end: place.end })
            .hint("start the file with `/* ---`, a line `table: name` or `kpi: name`, and `--- */`");
        Box::new(mistake)
    };
    let no_header = "a `.sql` file starts with a comment that says what it is";
    let Some(comment) = text[start..].strip_prefix("/*") else {
        return Err(missing(no_header, first_line));
    };
    let Some(header) = comment.trim_start().strip_prefix("---") else {
        return Err(missing(no_header, first_line));
    };
    let header_start = text.len() - header.len();
    let Some((header_end, query_start)) = closing(text, header_start) else {
        return Err(missing("the header is not closed", start..header_start));
    };
    let query = &text[query_start..];
    let from = query_start + query.len() - query.trim_start().len();
    let to = from + query.trim().len();
    Ok((header_start..header_end, from..to))
}

/// Where the `---` in front of `*/` starts, and where the text behind `*/` does.
fn closing(text: &str, from: usize) -> Option<(usize, usize)> {
    let mut at = from;
    while let Some(found) = text[at..].find("---") {
        let dashes = at + found;
        let behind = &text[dashes + 3..];
        let rest = behind.trim_start();
        if rest.starts_with("*/") {
            let header = text[from..dashes].trim_end_matches('-');
            return Some((from + header.len(), text.len() - rest.len() + 2));
        }
        at = dashes + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_and_query_are_found() {
        for (text, header, query) in [
            ("/* ---\ntable: a\n--- */\nSELECT 1\n", "\ntable: a\n", "SELECT 1"),
            ("/*\n---\ntable: a\n---\n*/\n\nSELECT 1;\n\n", "\ntable: a\n", "SELECT 1;"),
            ("\u{feff}\r\n/* ---\r\ntable: a\r\n--- */\r\nSELECT 1", "\r\ntable: a\r\n", "SELECT 1"),
            (
                "/*---\ntable: a # x ---- y\nsource: a/*/b\n---*/SELECT '/* --- */'",
                "\ntable: a # x ---- y\nsource: a/*/b\n",
                "SELECT '/* --- */'",
            ),
            ("/* ---\nkpi: a\n----- */", "\nkpi: a\n", ""),
        ] {
            let (found_header, found_query) = split(FileId(0), text).unwrap();
            assert_eq!((&text[found_header], &text[found_query]), (header, query));
        }
    }

    #[test]
    fn a_file_without_header_says_so() {
        for (text, place) in [
            ("SELECT 1\nFROM x", "SELECT 1"),
            ("-- table: a\nSELECT 1", "-- table: a"),
            ("/* table: a */ SELECT 1", "/* table: a */ SELECT 1"),
            ("/* ---\ntable: a\n */ SELECT 1", "/* ---"),
            ("", ""),
            ("/*", "/*"),
        ] {
            let mistake = split(FileId(0), text).unwrap_err();
            let span = mistake.span.unwrap();
            assert_eq!((mistake.code, &text[span.start..span.end]), ("missing-header", place));
        }
    }
}
