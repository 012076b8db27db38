//! From a place in an expression back to the place in the file.
//!
//! An SQL parser speaks of lines and columns of the text it was given. That text is a YAML value with its quotes,
//! escapes and indentation taken off, so a place in it is not the same place in the file. This module finds the way
//! back by walking the written text and the value side by side. It does not parse YAML: what cannot be matched is
//! answered with the place of the whole value.

use std::ops::Range;

use crate::diagnostic::Span;

/// The place in the file of the characters `start_char..end_char` of a value.
///
/// `scalar` is the value's own place as [`Spanned`](super::Spanned) holds it, `value` its text. Works for plain, quoted
/// and block scalars; characters that exist only in the value (the line break at the end of a block) lie at its end.
pub fn source_span(file_text: &str, scalar: Span, value: &str, start_char: usize, end_char: usize) -> Span {
    let Some(raw) = file_text.get(scalar.start..scalar.end) else {
        return scalar;
    };
    let styles = [double_quoted, single_quoted, unquoted];
    let Some(places) = styles.iter().find_map(|places| places(raw, value)) else {
        return scalar;
    };
    // The end of the text proper: in front of the closing quote, if there is one.
    let behind = places.last().map_or(0, |place| place.end);
    let start = places.get(start_char).map_or(behind, |place| place.start);
    let end = match end_char.checked_sub(1) {
        Some(last) if end_char > start_char => places.get(last).map_or(behind, |place| place.end),
        _ => start,
    };
    Span { file: scalar.file, start: scalar.start + start, end: scalar.start + end.max(start) }
}

/// The character index of a line and column, both from 1, as SQL parsers report them.
///
/// Places outside the text count as the nearest place inside it.
pub fn line_column_to_char(value: &str, line: usize, column: usize) -> usize {
    let mut index = 0;
    for (number, text) in value.split_inclusive('\n').enumerate() {
        let length = text.chars().count();
        if number + 1 >= line {
            return index + column.saturating_sub(1).min(length);
        }
        index += length;
    }
    index
}

/// Where each character of the value was written, as bytes of `raw`; none if `raw` is not such a scalar of that value.
type Places = Option<Vec<Range<usize>>>;

fn double_quoted(raw: &str, value: &str) -> Places {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    let mut walk = Walk::new(inner, value);
    while let Some((at, character)) = walk.peek() {
        if character == '\\' {
            let escape = escape(&inner[at..])?;
            walk.escaped(at, escape)?;
        } else {
            walk.character(at, character)?;
        }
    }
    walk.finish(1)
}

fn single_quoted(raw: &str, value: &str) -> Places {
    let inner = raw.strip_prefix('\'')?.strip_suffix('\'')?;
    let mut walk = Walk::new(inner, value);
    while let Some((at, character)) = walk.peek() {
        if character == '\'' {
            if !inner[at..].starts_with("''") {
                return None;
            }
            walk.escaped(at, Escape { length: 2, character: Some('\'') })?;
        } else {
            walk.character(at, character)?;
        }
    }
    walk.finish(1)
}

/// Plain scalars and both kinds of blocks: only white space differs between what was written and what it means.
fn unquoted(raw: &str, value: &str) -> Places {
    let mut walk = Walk::new(raw, value);
    while let Some((at, character)) = walk.peek() {
        walk.character(at, character)?;
    }
    walk.finish(0)
}

/// An escape of a double-quoted scalar: how many bytes it takes, and what it stands for, if anything.
struct Escape {
    length: usize,
    character: Option<char>,
}

fn escape(text: &str) -> Option<Escape> {
    let kind = text.chars().nth(1)?;
    let digits = match kind {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        // A line break behind a backslash means nothing at all, nor does the indentation of the next line.
        '\r' | '\n' => {
            let length = if text[1..].starts_with("\r\n") { 3 } else { 2 };
            let indentation = text[length..].len() - text[length..].trim_start_matches([' ', '\t']).len();
            return Some(Escape { length: length + indentation, character: None });
        }
        _ => {
            let character = match kind {
                '0' => '\0',
                'a' => '\u{7}',
                'b' => '\u{8}',
                't' | '\t' => '\t',
                'n' => '\n',
                'v' => '\u{b}',
                'f' => '\u{c}',
                'r' => '\r',
                'e' => '\u{1b}',
                'N' => '\u{85}',
                '_' => '\u{a0}',
                'L' => '\u{2028}',
                'P' => '\u{2029}',
                other => other,
            };
            return Some(Escape { length: 1 + kind.len_utf8(), character: Some(character) });
        }
    };
    let code = u32::from_str_radix(text.get(2..2 + digits)?, 16).ok()?;
    // Two escapes may form one character outside the basic plane.
    if (0xD800..0xDC00).contains(&code) {
        let low = u32::from_str_radix(text.get(6..)?.strip_prefix("\\u")?.get(..4)?, 16).ok()?;
        let low = low.checked_sub(0xDC00)?;
        let character = char::from_u32(0x10000 + ((code - 0xD800) << 10) + low)?;
        return Some(Escape { length: 12, character: Some(character) });
    }
    Some(Escape { length: 2 + digits, character: Some(char::from_u32(code)?) })
}

/// Two cursors: one over the written text, one over the value.
struct Walk<'t> {
    raw: &'t str,
    raw_at: usize,
    value: Vec<char>,
    places: Vec<Range<usize>>,
}

impl<'t> Walk<'t> {
    fn new(raw: &'t str, value: &str) -> Self {
        let value: Vec<char> = value.chars().collect();
        Walk { raw, raw_at: 0, places: Vec::with_capacity(value.len()), value }
    }

    fn peek(&self) -> Option<(usize, char)> {
        Some((self.raw_at, self.raw[self.raw_at..].chars().next()?))
    }

    /// The next character of the value, if it has one left.
    fn next_of_value(&self) -> Option<char> {
        self.value.get(self.places.len()).copied()
    }

    fn escaped(&mut self, at: usize, escape: Escape) -> Option<()> {
        if let Some(character) = escape.character {
            if self.next_of_value()? != character {
                return None;
            }
            self.places.push(at..at + escape.length);
        }
        self.raw_at = at + escape.length;
        Some(())
    }

    fn character(&mut self, at: usize, character: char) -> Option<()> {
        if !is_space(character) {
            if self.next_of_value()? != character {
                return None;
            }
            self.raw_at = at + character.len_utf8();
            self.places.push(at..self.raw_at);
            return Some(());
        }
        // Runs of white space stand for each other, whatever their length. Their last characters belong together:
        // what YAML takes off is the indentation in front.
        let run = self.raw[at..].len() - self.raw[at..].trim_start_matches(is_space).len();
        let run_end = at + run;
        let mut length = self.value[self.places.len()..].iter().take_while(|character| is_space(**character)).count();
        if !self.raw[at..run_end].contains('\n') {
            // Within a line nothing is folded, and an escaped space may follow.
            length = length.min(run);
        }
        for index in 0..length {
            let from_the_end = length - index;
            let start = run_end.saturating_sub(from_the_end).max(at);
            self.places.push(start..(start + 1).min(run_end));
        }
        self.raw_at = run_end;
        Some(())
    }

    /// The places, shifted by the opening quote; none unless the whole value was met.
    fn finish(mut self, quote: usize) -> Places {
        let end = self.raw.len();
        while let Some(character) = self.next_of_value() {
            if !is_space(character) {
                return None;
            }
            self.places.push(end..end);
        }
        Some(self.places.into_iter().map(|place| place.start + quote..place.end + quote).collect())
    }
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::FileId;

    /// The text in the file behind each occurrence of `word` in the value.
    fn check(raw: &str, value: &str, word: &str, expected: &str) {
        let file_text = format!("é: {raw}\nnext: x");
        let scalar = Span { file: FileId(0), start: 4, end: 4 + raw.len() };
        let byte = value.find(word).unwrap();
        let start = value[..byte].chars().count();
        let span = source_span(&file_text, scalar, value, start, start + word.chars().count());
        assert_eq!(&file_text[span.start..span.end], expected, "{raw:?} {word:?}");
    }

    #[test]
    fn words_are_found_where_they_were_written() {
        for (raw, value, word, expected) in [
            ("sum(x)", "sum(x)", "x", "x"),
            ("größe + x", "größe + x", "x", "x"),
            ("a\n  + b\n  + c", "a + b + c", "c", "c"),
            ("a\r\n  + b", "a + b", "b", "b"),
            ("'it''s' ", "'it''s' ", "s", "s"),
            ("'it''s x'", "it's x", "x", "x"),
            ("'it''s x'", "it's x", "'", "''"),
            ("'a\n   b'", "a b", "b", "b"),
            (r#""a \"b\" c""#, "a \"b\" c", "c", "c"),
            (r#""a \"b\" c""#, "a \"b\" c", "\"b\"", r#"\"b\""#),
            (r#""\u00e9\x41 x""#, "éA x", "x", "x"),
            (r#""\uD83D\uDE00 x""#, "😀 x", "x", "x"),
            ("\"a\\\n   b\"", "ab", "b", "b"),
            ("\"a\n   b\"", "a b", "b", "b"),
            ("\"tab\\tx\"", "tab\tx", "x", "x"),
            ("\"a \\n x\"", "a \n x", "x", "x"),
            ("sum(a)\n    / sum(b)", "sum(a)\n  / sum(b)\n", "b", "b"),
            ("a\n  b\n\n  c", "a b\nc\n", "c", "c"),
            // A block may hold what looks like a quoted scalar.
            ("'a' = 'b'", "'a' = 'b'", "b", "b"),
            ("'abc'", "'abc'", "abc", "abc"),
            ("\"a\" = \"b\"", "\"a\" = \"b\"", "b", "b"),
            // What does not match is the whole value.
            ("1.10", "1.1", "1", "1.10"),
        ] {
            check(raw, value, word, expected);
        }
    }

    #[test]
    fn places_behind_the_text_are_its_end() {
        let scalar = Span { file: FileId(0), start: 3, end: 6 };
        for (value, start, end, expected) in [("abc", 3, 3, 6..6), ("abc\n", 3, 4, 6..6), ("abc", 9, 12, 6..6)] {
            let span = source_span("k: abc", scalar, value, start, end);
            assert_eq!(span.start..span.end, expected);
        }
        let quoted = Span { file: FileId(0), start: 0, end: 5 };
        assert_eq!(source_span("'abc'", quoted, "abc", 3, 3).start, 4, "in front of the quote");
        let outside = Span { file: FileId(0), start: 90, end: 95 };
        assert_eq!(source_span("abc", outside, "abc", 0, 1), outside);
    }

    #[test]
    fn lines_and_columns_count_characters_from_one() {
        for (value, line, column, expected) in [
            ("ab", 1, 1, 0),
            ("ab", 1, 2, 1),
            ("é\nxy", 2, 2, 3),
            ("ab", 9, 9, 2),
            ("ab\ncd", 1, 9, 3),
            ("", 1, 1, 0),
            ("ab", 0, 0, 0),
        ] {
            assert_eq!(line_column_to_char(value, line, column), expected, "{value:?} {line}:{column}");
        }
    }
}
