//! SQL as it is being typed, cut into words: good enough to color it and to see where in a statement one is.
//!
//! Unlike a parser it takes anything, also what is not finished.

use std::ops::Range;

/// What a piece of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WordKind {
    Keyword,
    /// A name, or any other word.
    Name,
    /// A name in double quotes or backticks.
    QuotedName,
    Text,
    Number,
    Comment,
    /// `$name`.
    Parameter,
    Sign,
}

/// A piece of text and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    pub kind: WordKind,
    pub range: Range<usize>,
    /// Whether its end was reached before its closing quote.
    pub is_open: bool,
}

/// The words that are colored and offered.
pub const KEYWORDS: [&str; 118] = [
    "ALL",
    "ALTER",
    "ANALYZE",
    "AND",
    "ANTI",
    "ANY",
    "ARRAY",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COLUMN",
    "COLUMNS",
    "COPY",
    "CREATE",
    "CROSS",
    "CURRENT",
    "CURRENT_DATE",
    "CURRENT_TIMESTAMP",
    "DATE",
    "DEALLOCATE",
    "DELETE",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "EXCEPT",
    "EXCLUDE",
    "EXECUTE",
    "EXISTS",
    "EXPLAIN",
    "EXTERNAL",
    "EXTRACT",
    "FALSE",
    "FILTER",
    "FIRST",
    "FOLLOWING",
    "FOR",
    "FORMAT",
    "FROM",
    "FULL",
    "FUNCTIONS",
    "GROUP",
    "GROUPING",
    "HAVING",
    "IF",
    "ILIKE",
    "IN",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTERVAL",
    "INTO",
    "IS",
    "JOIN",
    "LAST",
    "LATERAL",
    "LEFT",
    "LIKE",
    "LIMIT",
    "LOCATION",
    "NATURAL",
    "NOT",
    "NULL",
    "NULLS",
    "OFFSET",
    "ON",
    "OPTIONS",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARTITION",
    "PARTITIONED",
    "PRECEDING",
    "PREPARE",
    "QUALIFY",
    "RANGE",
    "RECURSIVE",
    "REPLACE",
    "RESET",
    "RIGHT",
    "ROLLUP",
    "ROW",
    "ROWS",
    "SCHEMA",
    "SELECT",
    "SEMI",
    "SET",
    "SETS",
    "SHOW",
    "SIMILAR",
    "SOME",
    "STORED",
    "TABLE",
    "TABLES",
    "TEMPORARY",
    "THEN",
    "TIMESTAMP",
    "TO",
    "TRUE",
    "TRY_CAST",
    "UNBOUNDED",
    "UNION",
    "UNNEST",
    "UPDATE",
    "USING",
    "VALUES",
    "VERBOSE",
    "VIEW",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
];

pub fn is_keyword(word: &str) -> bool {
    word.len() <= 20 && KEYWORDS.binary_search(&word.to_ascii_uppercase().as_str()).is_ok()
}

/// Cuts a text into words; blanks are between them.
pub fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(letter) = text[at..].chars().next() {
        let rest = &text[at..];
        let (kind, length, is_open) = match letter {
            letter if letter.is_whitespace() => {
                at += letter.len_utf8();
                continue;
            }
            '-' if rest.starts_with("--") => (WordKind::Comment, rest.find('\n').unwrap_or(rest.len()), false),
            '/' if rest.starts_with("/*") => match rest.find("*/") {
                Some(end) => (WordKind::Comment, end + 2, false),
                None => (WordKind::Comment, rest.len(), true),
            },
            '\'' => quoted(rest, '\'', WordKind::Text),
            '"' | '`' => quoted(rest, letter, WordKind::QuotedName),
            '$' => (WordKind::Parameter, 1 + length_of(&rest[1..], is_name_letter), false),
            letter if letter.is_ascii_digit() => {
                (WordKind::Number, length_of(rest, |letter| is_name_letter(letter) || letter == '.'), false)
            }
            letter if is_name_letter(letter) => {
                let length = length_of(rest, is_name_letter);
                let kind = if is_keyword(&rest[..length]) { WordKind::Keyword } else { WordKind::Name };
                (kind, length, false)
            }
            letter => (WordKind::Sign, if rest.starts_with("=>") { 2 } else { letter.len_utf8() }, false),
        };
        words.push(Word { kind, range: at..at + length, is_open });
        at += length;
    }
    words
}

fn quoted(text: &str, quote: char, kind: WordKind) -> (WordKind, usize, bool) {
    let mut letters = text.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if letter == quote && letters.next_if(|(_, next)| *next == quote).is_none() {
            return (kind, at + 1, false);
        }
    }
    (kind, text.len(), true)
}

fn is_name_letter(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn length_of(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|letter| !belongs(letter)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_sorted() {
        assert!(KEYWORDS.is_sorted());
    }

    #[test]
    fn anything_is_cut_into_words() {
        let text = "select a.b, 'it''s' -- x\n from \"T\" where n >= 1.5 and d = $day and kpi('x', by => 'op";
        let found: Vec<(&str, WordKind)> =
            words(text).iter().map(|word| (&text[word.range.clone()], word.kind)).collect();
        use WordKind::*;
        assert_eq!(
            found,
            [
                ("select", Keyword),
                ("a", Name),
                (".", Sign),
                ("b", Name),
                (",", Sign),
                ("'it''s'", Text),
                ("-- x", Comment),
                ("from", Keyword),
                ("\"T\"", QuotedName),
                ("where", Keyword),
                ("n", Name),
                (">", Sign),
                ("=", Sign),
                ("1.5", Number),
                ("and", Keyword),
                ("d", Name),
                ("=", Sign),
                ("$day", Parameter),
                ("and", Keyword),
                ("kpi", Name),
                ("(", Sign),
                ("'x'", Text),
                (",", Sign),
                ("by", Keyword),
                ("=>", Sign),
                ("'op", Text),
            ]
        );
        assert!(words(text).last().unwrap().is_open);
    }
}
