//! Texts of several statements taken apart: SQL up to its semicolon, and commands that begin with a backslash and end with
//! their line.
//!
//! Nothing is understood here beyond quotes and comments, in which a semicolon ends nothing.

use std::ops::Range;

/// One thing to do, as a place in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// SQL, without its semicolon.
    Statement(Range<usize>),
    /// A line that begins with a backslash or a dot, with it.
    Command(Range<usize>),
}

impl Piece {
    pub fn range(&self) -> Range<usize> {
        match self {
            Piece::Statement(range) | Piece::Command(range) => range.clone(),
        }
    }
}

/// What a text holds, and whether its end was reached in the middle of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    pub pieces: Vec<Piece>,
    pub end: End,
}

/// How a text ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Behind a semicolon, a command, or nothing at all.
    Complete,
    /// In a statement without a semicolon, which is the last piece.
    Open,
    /// In a quoted text or name, or in a comment, that began here.
    Quoted(usize),
}

/// Takes a text apart. What is left without a semicolon at its end is a piece as well.
pub fn read_script(text: &str) -> Script {
    let mut pieces = Vec::new();
    let mut at = 0;
    loop {
        at = match skip_blanks(text, at) {
            Ok(next) => next,
            Err(began) => return Script { pieces, end: End::Quoted(began) },
        };
        let rest = &text[at..];
        match rest.chars().next() {
            None => return Script { pieces, end: End::Complete },
            Some(';') => at += 1,
            Some('\\' | '.') if is_command(rest) => {
                let line = rest.find('\n').unwrap_or(rest.len());
                pieces.push(Piece::Command(at..at + rest[..line].trim_end().len()));
                at += line;
            }
            Some(_) => match end_of_statement(text, at) {
                Ok(Some(end)) => {
                    pieces.push(Piece::Statement(at..at + text[at..end].trim_end().len()));
                    at = end + 1;
                }
                Ok(None) => {
                    pieces.push(Piece::Statement(at..at + rest.trim_end().len()));
                    return Script { pieces, end: End::Open };
                }
                Err(began) => {
                    pieces.push(Piece::Statement(at..at + rest.trim_end().len()));
                    return Script { pieces, end: End::Quoted(began) };
                }
            },
        }
    }
}

/// Whether a line is a command: behind a backslash, or behind a dot as other shells have it. No statement begins with a dot.
fn is_command(rest: &str) -> bool {
    rest.starts_with('\\') || rest[1..].starts_with(|letter: char| letter.is_ascii_alphabetic())
}

/// The first byte from here on that is neither blank nor part of a comment.
fn skip_blanks(text: &str, mut at: usize) -> Result<usize, usize> {
    loop {
        let rest = &text[at..];
        let blank = rest.len() - rest.trim_start().len();
        if blank > 0 {
            at += blank;
        } else {
            match quoted(text, at, None) {
                Quoted::Comment(end) => at = end,
                Quoted::Unclosed if rest.starts_with("/*") => return Err(at),
                Quoted::Unclosed | Quoted::Text(_) | Quoted::None => return Ok(at),
            }
        }
    }
}

/// The semicolon that ends the statement that begins here, or where the quote began that nothing closes.
fn end_of_statement(text: &str, start: usize) -> Result<Option<usize>, usize> {
    let mut at = start;
    let mut before = None;
    while let Some(letter) = text[at..].chars().next() {
        match quoted(text, at, before) {
            Quoted::Text(end) | Quoted::Comment(end) => {
                at = end;
                before = None;
            }
            Quoted::Unclosed => return Err(at),
            Quoted::None if letter == ';' => return Ok(Some(at)),
            Quoted::None => {
                at += letter.len_utf8();
                before = Some(letter);
            }
        }
    }
    Ok(None)
}

/// What begins at a place: a quoted text or a comment with its end, one that nothing closes, or neither.
enum Quoted {
    Text(usize),
    Comment(usize),
    Unclosed,
    None,
}

fn quoted(text: &str, at: usize, before: Option<char>) -> Quoted {
    let rest = &text[at..];
    let closed = |end: Option<usize>| end.map_or(Quoted::Unclosed, |end| Quoted::Text(at + end));
    if rest.starts_with("--") {
        return Quoted::Comment(at + rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return end_of_comment(rest).map_or(Quoted::Unclosed, |end| Quoted::Comment(at + end));
    }
    match rest.chars().next() {
        // Only a text that begins with E knows the backslash.
        Some('\'') => closed(end_of_quote(rest, '\'', begins_with_e(text, at))),
        Some(quote @ ('"' | '`')) => closed(end_of_quote(rest, quote, false)),
        Some('$') if !before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_') => {
            let Some(tag) = dollar_tag(rest) else { return Quoted::None };
            closed(rest[tag.len()..].find(tag).map(|end| end + 2 * tag.len()))
        }
        _ => Quoted::None,
    }
}

/// Whether an E that is a word of its own stands right in front.
fn begins_with_e(text: &str, at: usize) -> bool {
    let mut before = text[..at].chars().rev();
    matches!(before.next(), Some('e' | 'E'))
        && !before.next().is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
}

/// The end of a text that begins with a quote; the quote twice is a letter of it.
fn end_of_quote(text: &str, quote: char, knows_backslash: bool) -> Option<usize> {
    let mut letters = text.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if letter == '\\' && knows_backslash {
            letters.next();
        } else if letter == quote && letters.next_if(|(_, next)| *next == quote).is_none() {
            return Some(at + quote.len_utf8());
        }
    }
    None
}

/// Comments of this kind stand in each other.
fn end_of_comment(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    None
}

/// `$$` or `$word$` at the beginning of a text.
fn dollar_tag(text: &str) -> Option<&str> {
    let end = text[1..].find('$')? + 1;
    let word = &text[1..end];
    let is_word = word.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
    (is_word && !word.starts_with(|letter: char| letter.is_ascii_digit())).then(|| &text[..=end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<&str>, End) {
        let script = read_script(text);
        (script.pieces.iter().map(|piece| &text[piece.range()]).collect(), script.end)
    }

    #[test]
    fn statements_end_with_semicolons_and_commands_with_lines() {
        assert_eq!(read(""), (vec![], End::Complete));
        assert_eq!(read(" ;; -- nothing\n"), (vec![], End::Complete));
        assert_eq!(
            read("SELECT 1; \\d orders \nSELECT 2 ;"),
            (vec!["SELECT 1", "\\d orders", "SELECT 2"], End::Complete)
        );
        assert_eq!(read("SELECT 1;\nSELECT\n 2 "), (vec!["SELECT 1", "SELECT\n 2"], End::Open));
        assert_eq!(read("-- first\n/* a /* b; */ c; */ \\q"), (vec!["\\q"], End::Complete));
    }

    #[test]
    fn what_is_quoted_ends_nothing() {
        for whole in [
            "SELECT ';'",
            "SELECT 'it''s; '",
            "SELECT \";\"",
            "SELECT `;`",
            "SELECT $$;$$",
            "SELECT $a$ ; $$ ; $a$",
            "SELECT E'\\';'",
            "SELECT '\\'",
            "SELECT 1 -- ; \n + 1",
            "SELECT 1 /* ; */",
            "SELECT $1, 'é;'",
            "SELECT 'a' LIKE'\\'",
        ] {
            assert_eq!(read(&format!("{whole};")), (vec![whole], End::Complete), "{whole}");
        }
    }

    #[test]
    fn an_open_quote_has_a_place() {
        assert_eq!(read("SELECT 'a; "), (vec!["SELECT 'a;"], End::Quoted(7)));
        assert_eq!(read("SELECT 1; /* x"), (vec!["SELECT 1"], End::Quoted(10)));
        assert_eq!(read("SELECT $x$ ; $y$"), (vec!["SELECT $x$ ; $y$"], End::Quoted(7)));
    }
}
