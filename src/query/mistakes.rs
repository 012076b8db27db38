//! What is wrong with a statement, at its place, with the nearest names; and what went wrong while it ran.
//!
//! DataFusion's words are used where they say it; its lists of every column and every signature are not.

use std::collections::BTreeSet;
use std::ops::Range;

use datafusion::common::{DataFusionError, SchemaError};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::words::{WordKind, words};
use super::{KPI_FUNCTION, RESULTS};
use crate::diagnostic::{Diagnostic, FileId, Sources, Span, nearest};
use crate::error::{Error, ErrorKind, Result};
use crate::execute::query_error;
use crate::report::KPI_VALUES;
use crate::spec::line_column_to_char;

/// Why a statement has no result.
#[derive(Debug)]
pub enum Failure {
    /// The statement is wrong, and where.
    Mistake(Diagnostic, Sources),
    /// It could not be done.
    Failed(Error),
}

impl Failure {
    /// The process exit code that it stands for.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Mistake(..) => ErrorKind::Config.exit_code(),
            Failure::Failed(error) => error.kind().exit_code(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Failed(error)
    }
}

/// Where a statement stands: in a text that has a name, from a byte on.
#[derive(Debug, Clone)]
pub struct Written {
    pub sources: Sources,
    pub file: FileId,
    /// Where the statement begins in the text of the file.
    pub start: usize,
    pub text: String,
    /// What SQL wants in front of it and nobody has to write.
    front: &'static str,
}

impl Written {
    /// A statement of a text, which has a name for people. It may begin with FROM and mean all columns.
    pub fn new(name: &str, whole: &str, range: Range<usize>) -> Written {
        let mut sources = Sources::default();
        let file = sources.add(name, whole);
        Written::part(&sources, file, range)
    }

    /// One of many statements of a text, which is kept once for all of them.
    pub fn part(sources: &Sources, file: FileId, range: Range<usize>) -> Written {
        let sources = sources.clone();
        let text = sources.get(file).text[range.clone()].to_owned();
        let front = if is_without_select(&text) { "SELECT * " } else { "" };
        Written { sources, file, start: range.start, text, front }
    }

    /// What DataFusion reads.
    pub(super) fn sql(&self) -> String {
        format!("{}{}", self.front, self.text)
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span { file: self.file, start: self.start + start, end: self.start + end }
    }

    /// A line and a column, both from 1, as an offset in bytes.
    fn offset(&self, line: u64, column: u64) -> usize {
        let letter = line_column_to_char(&self.sql(), line as usize, column as usize);
        let letter = letter.saturating_sub(self.front.len());
        self.text.char_indices().nth(letter).map_or(self.text.len(), |(at, _)| at)
    }

    /// The end of the word that begins here; at least one letter.
    fn end_of_word(&self, start: usize) -> usize {
        let rest = &self.text[start..];
        let word = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len());
        start + word.max(rest.chars().next().map_or(0, char::len_utf8))
    }

    /// Where a word stands that is not quoted.
    fn find(&self, word: &str) -> Option<Span> {
        let tokens = Tokenizer::new(&GenericDialect {}, &self.text).tokenize_with_location().ok()?;
        let found = tokens.iter().find(|token| match &token.token {
            Token::Word(found) => found.value.eq_ignore_ascii_case(word),
            Token::SingleQuotedString(found) => found == word,
            Token::Placeholder(found) => found.trim_start_matches('$') == word.trim_start_matches('$'),
            _ => false,
        })?;
        let at = |line: u64, column: u64| {
            let letter = line_column_to_char(&self.text, line as usize, column as usize);
            self.text.char_indices().nth(letter).map_or(self.text.len(), |(at, _)| at)
        };
        let start = at(found.span.start.line, found.span.start.column);
        Some(self.span(start, at(found.span.end.line, found.span.end.column).max(start + 1)))
    }

    fn at(&self, place: datafusion::common::Span) -> Span {
        let start = self.offset(place.start.line, place.start.column);
        self.span(start, self.offset(place.end.line, place.end.column).max(start))
    }

    /// A mistake of the whole statement, or at a word of it.
    pub fn mistake(&self, message: impl Into<String>, word: Option<&str>, hint: Option<String>) -> Failure {
        let end = self.text.find('\n').unwrap_or(self.text.len());
        let span = word.and_then(|word| self.find(word)).unwrap_or_else(|| self.span(0, end));
        let mut diagnostic = Diagnostic::error("invalid-query", message).at(span);
        diagnostic.hint = hint;
        Failure::Mistake(diagnostic, self.sources.clone())
    }
}

/// Whether a statement begins with FROM and names no columns.
fn is_without_select(text: &str) -> bool {
    let all = words(text);
    let mut significant =
        all.iter().filter(|word| word.kind != WordKind::Comment).map(|word| &text[word.range.clone()]);
    if !significant.next().is_some_and(|first| first.eq_ignore_ascii_case("from")) {
        return false;
    }
    let mut depth = 0_i32;
    !significant.any(|word| {
        depth += i32::from(word == "(") - i32::from(word == ")");
        depth == 0 && word.eq_ignore_ascii_case("select")
    })
}

/// The names that a mistyped one may have meant.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub has_results: bool,
    pub tables: BTreeSet<String>,
    pub functions: BTreeSet<String>,
}

/// What DataFusion says, in terms of the statement.
pub(super) fn failure(error: DataFusionError, written: &Written, known: &Known) -> Failure {
    // Our own errors pass through DataFusion as they are.
    let error = match own_error(error) {
        // A name in the statement that means nothing.
        Ok(own) if own.kind() == ErrorKind::Config => {
            return written.mistake(own.message(), named(own.message()).as_deref(), own.hint().map(str::to_owned));
        }
        Ok(own) => return Failure::Failed(own),
        Err(error) => error,
    };
    if let DataFusionError::SQL(parser, _) = error.find_root() {
        return Failure::Mistake(syntax(&parser.to_string(), written), written.sources.clone());
    }
    let note = error.diagnostic().cloned();
    let is_about_the_statement = note.is_some()
        || matches!(
            error.find_root(),
            DataFusionError::Plan(_) | DataFusionError::SchemaError(..) | DataFusionError::NotImplemented(_)
        );
    if !is_about_the_statement {
        return Failure::Failed(while_running(error));
    }
    let Told { message, word, hint } = told(&error, known);
    let place = note.as_ref().and_then(|note| note.span).map(|span| written.at(span));
    let place = place.or_else(|| written.find(word.as_deref()?));
    let helped = note.and_then(|note| note.helps.into_iter().next()).map(|help| help.message);
    let whole = written.span(0, written.text.find('\n').unwrap_or(written.text.len()));
    let mut diagnostic = Diagnostic::error("invalid-query", message).at(place.unwrap_or(whole));
    diagnostic.hint = hint.or_else(|| helped.filter(|help| !help.starts_with("Either add")));
    Failure::Mistake(diagnostic, written.sources.clone())
}

/// A statement that was right and failed all the same, without the names of the parts of DataFusion that it passed through.
fn while_running(error: DataFusionError) -> Error {
    if error.strip_backtrace().contains("Error encountered while finalizing writes") {
        // DataFusion does not say more.
        return Error::storage("what the statement writes could not be written")
            .with_hint("see that there is room, and that the place and its credentials are right");
    }
    let known = query_error(error);
    if known.kind() != ErrorKind::Execution {
        return known;
    }
    const LAYERS: [&str; 7] = [
        "Arrow error: ",
        "Execution error: ",
        "External error: ",
        "Invalid argument error: ",
        "Cast error: ",
        "Parser error: ",
        "Compute error: ",
    ];
    let mut text = known.message();
    while let Some(inner) = LAYERS.iter().find_map(|layer| text.strip_prefix(layer)) {
        text = inner;
    }
    let hint = match text {
        text if text.starts_with("Divide by zero") => {
            Some("`a / nullif(b, 0)` is NULL where there is nothing to divide by")
        }
        text if text.contains("'code 0") || text.contains("'code +") => Some(
            "a column of CSV looked like numbers and has a code; `CREATE EXTERNAL TABLE t (code VARCHAR, ...)` says what it is",
        ),
        text if text.starts_with("Cannot cast") || text.starts_with("Error parsing") => {
            Some("`TRY_CAST(... AS ...)` is NULL where a value does not fit")
        }
        _ => None,
    };
    let error = Error::execution(lower_first(text));
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// An [`Error`] that DataFusion only carried.
fn own_error(error: DataFusionError) -> std::result::Result<Error, DataFusionError> {
    fn find(error: &DataFusionError) -> Option<&Error> {
        match error {
            DataFusionError::External(inner) => inner.downcast_ref::<Error>(),
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => find(inner),
            DataFusionError::Shared(inner) => find(inner),
            DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
                datafusion::arrow::error::ArrowError::ExternalError(inner) => inner.downcast_ref::<Error>(),
                _ => None,
            },
            _ => None,
        }
    }
    match find(&error) {
        Some(own) => {
            let again = own.again();
            Ok(match own.cause() {
                Some(cause) => again.with_context("cause", cause),
                None => again,
            })
        }
        None => Err(error),
    }
}

/// What the parser says, at its place.
fn syntax(message: &str, written: &Written) -> Diagnostic {
    let message = message.trim_start_matches("sql parser error: ").trim_start_matches("ParserError(\"");
    let (what, place) = match message.rsplit_once(" at Line: ") {
        Some((what, place)) => (what, read_place(place)),
        None => (message, None),
    };
    let span = match place {
        Some((line, column)) => {
            let start = written.offset(line, column);
            written.span(start, written.end_of_word(start))
        }
        None => {
            let end = written.text.trim_end().len();
            let last = written.text[..end].char_indices().next_back().map_or(0, |(at, _)| at);
            written.span(last, end)
        }
    };
    let what = what.replace("found: EOF", "but the statement ends here");
    let what = what.replace("recursion limit exceeded", "it is nested too deeply");
    Diagnostic::error("sql-syntax", format!("the statement cannot be read: {}", lower_first(&what))).at(span)
}

/// `3, Column: 14`, with or without more behind it.
fn read_place(text: &str) -> Option<(u64, u64)> {
    let (line, column) = text.split_once(", Column: ")?;
    let digits: String = column.chars().take_while(char::is_ascii_digit).collect();
    Some((line.trim().parse().ok()?, digits.parse().ok()?))
}

struct Told {
    message: String,
    /// The word that it is about.
    word: Option<String>,
    hint: Option<String>,
}

fn told(error: &DataFusionError, known: &Known) -> Told {
    let root = error.find_root();
    if let DataFusionError::SchemaError(schema, _) = root
        && let SchemaError::FieldNotFound { field, valid_fields } = schema.as_ref()
    {
        let names: BTreeSet<&str> = valid_fields.iter().map(|field| field.name.as_str()).collect();
        let whole = field.relation.as_ref().map_or(field.name.clone(), |table| format!("{table}.{}", field.name));
        let unquoted = names.iter().find(|name| name.eq_ignore_ascii_case(&field.name));
        let hint = match (unquoted, nearest(&field.name, names.iter().copied())) {
            (Some(name), _) if *name != field.name => {
                Some(format!("write `\"{name}\"`: its letters are not all small"))
            }
            (Some(_), _) => {
                let tables: BTreeSet<String> = (valid_fields.iter().filter(|valid| valid.name == field.name))
                    .filter_map(|valid| Some(valid.relation.as_ref()?.to_string()))
                    .collect();
                Some(format!("there is one in {}", list(tables.iter().map(String::as_str))))
            }
            (None, Some(near)) => Some(format!("did you mean `{near}`?")),
            (None, None) if names.is_empty() => None,
            (None, None) => Some(format!("there are {}", list(names.iter().copied()))),
        };
        return Told { message: format!("there is no column `{whole}`"), word: Some(field.name.clone()), hint };
    }
    let text = root.strip_backtrace();
    let text = text.lines().next().unwrap_or_default();
    let text = ["Error during planning: ", "Schema error: "]
        .iter()
        .fold(text, |text, front| text.strip_prefix(front).unwrap_or(text));
    if let Some(name) = between(text, "table '", "' not found") {
        let plain = name.rsplit('.').next().unwrap_or(name);
        let names = known.tables.iter().map(String::as_str);
        let shown =
            name.strip_prefix("datafusion.public.").or_else(|| name.strip_prefix("datafusion.")).unwrap_or(name);
        let is_result = shown.starts_with(&format!("{RESULTS}.")) || plain == KPI_VALUES;
        let hint = match nearest(shown, names.clone()).or_else(|| nearest(plain, names)) {
            _ if is_result && !known.has_results => "no results are published yet; `kpi run` does that".to_owned(),
            Some(near) => format!("did you mean `{near}`?"),
            None => "`\\d` lists the tables; a file stands in quotes, such as 'exports/deals.parquet'".to_owned(),
        };
        return Told {
            message: format!("there is no table `{shown}`"),
            word: Some(plain.to_owned()),
            hint: Some(hint),
        };
    }
    if let Some(name) = between(text, "Invalid function '", "'") {
        let hint = match nearest(name, known.functions.iter().map(String::as_str)) {
            _ if name.eq_ignore_ascii_case(KPI_FUNCTION) => {
                "it gives rows: write it in FROM, as in `FROM kpi('close_rate')`".to_owned()
            }
            Some(near) => format!("did you mean `{near}`?"),
            None => "`\\f` lists the functions".to_owned(),
        };
        let message = format!("there is no function `{name}`");
        return Told { message, word: Some(name.to_owned()), hint: Some(hint) };
    }
    if let Some(name) = between(text, "table function '", "' not found") {
        return Told {
            message: format!("there is no function `{name}` that gives rows"),
            word: Some(name.to_owned()),
            hint: Some("there are `kpi`, `generate_series` and `range`".to_owned()),
        };
    }
    if let Some(column) = between(text, "olumn \"", "\" must appear in the GROUP BY clause") {
        return Told {
            message: format!("`{column}` is neither grouped by nor in an aggregate"),
            word: column.rsplit('.').next().map(str::to_owned),
            hint: Some(format!("add `GROUP BY {column}`; `GROUP BY ALL` groups by every column without an aggregate")),
        };
    }
    if let Some(ending) = text.strip_prefix("There is no registered file format with ext ") {
        return Told {
            message: format!("`.{ending}` says no format that files are written in"),
            word: None,
            hint: Some("end the name with .parquet, .csv, .json or .arrow, or add `STORED AS CSV`".to_owned()),
        };
    }
    if text.contains("backed by a single file") {
        return Told {
            message: "a table of one file takes no new rows".to_owned(),
            word: None,
            hint: Some("make it one of a folder, as in `LOCATION 'exports/'`".to_owned()),
        };
    }
    if text.contains("require unique expression names") {
        return Told {
            message: "two columns have the same name".to_owned(),
            word: None,
            hint: Some("give one of them another name, as in `SELECT a, CAST(a AS DATE) AS day`".to_owned()),
        };
    }
    if let Some(place) = between(text, "No files found at ", ". ") {
        let place = place.trim_start_matches("file://");
        return Told { message: format!("there is no file at `{place}`"), word: None, hint: None };
    }
    let function = between(text, "Function '", "'");
    let text = match text.split_once("failed to match any signature, errors: ") {
        // The first reason is as good as the others.
        Some((_, reasons)) => {
            let reason = reasons.trim_start_matches("Error during planning: ");
            reason.split_once(",Error during planning: ").map_or(reason, |(first, _)| first)
        }
        None => text.trim_start_matches("Internal error: ").trim_start_matches("This feature is not implemented: "),
    };
    // A list of every signature helps nobody.
    let text = match text.split_once(" No function matches the given name and argument types") {
        Some((front, _)) => front,
        None => text.split_once(" You might need to add explicit type casts").map_or(text, |(front, _)| front),
    };
    let word = function.map(str::to_owned).or_else(|| named(text));
    let hint = function.map(|name| format!("`\\f {name}` says what it takes"));
    Told { message: lower_first(text.trim_end_matches('.')), word, hint }
}

fn between<'a>(text: &'a str, front: &str, behind: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(front)?;
    rest.split_once(behind).map(|(inside, _)| inside)
}

/// At most eight names.
fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    match names.len() {
        0..=8 => names.join(", "),
        more => format!("{} and {} more", names[..7].join(", "), more - 7),
    }
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    let second_is_upper = text.chars().nth(1).is_some_and(char::is_uppercase);
    match letters.next() {
        Some(first) if !second_is_upper => first.to_lowercase().chain(letters).collect(),
        _ => text.to_owned(),
    }
}

/// Keeps what a check of the statement found as its failure.
pub(super) fn or_failure<T>(checked: Result<T>, written: &Written) -> std::result::Result<T, Failure> {
    checked.map_err(|error| match error.kind() {
        ErrorKind::Config => {
            written.mistake(error.message(), named(error.message()).as_deref(), error.hint().map(str::to_owned))
        }
        _ => Failure::Failed(error),
    })
}

/// The first word in backticks.
fn named(message: &str) -> Option<String> {
    between(message, "`", "`").map(str::to_owned)
}
