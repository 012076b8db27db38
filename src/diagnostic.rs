//! Mistakes in a user's files, as data: a code, a place, what is wrong and what to write instead.
//!
//! Stages collect diagnostics and go on, so that one `kpi check` shows every mistake. This module does not decide what
//! is a mistake; it holds them, sorts them, and renders them as text with a caret or as JSON.

use std::collections::HashSet;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet, renderer::DecorStyle};
use serde_json::{Value, json};

/// How much a diagnostic weighs. Only errors keep a KPI from running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Error,
    Warning,
    Advice,
}

impl Severity {
    /// As programs read it.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Advice => "advice",
        }
    }
}

/// Which file of [`Sources`] a span lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// A place in a definition file: byte offsets into its text, end exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    pub file: FileId,
    pub start: usize,
    pub end: usize,
}

/// One definition file as it was read.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// As shown to people: relative to the project folder where that is possible.
    pub path: PathBuf,
    pub text: String,
    /// Where its lines begin, in bytes.
    lines: Vec<usize>,
}

/// All definition files of a project; spans point into them.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<Arc<SourceFile>>,
}

impl Sources {
    pub fn add(&mut self, path: impl Into<PathBuf>, text: impl Into<String>) -> FileId {
        let id = FileId(self.files.len() as u32);
        let text = text.into();
        let lines = [0].into_iter().chain(text.match_indices('\n').map(|(newline, _)| newline + 1)).collect();
        self.files.push(Arc::new(SourceFile { path: path.into(), text, lines }));
        id
    }

    pub fn get(&self, id: FileId) -> &SourceFile {
        &self.files[id.0 as usize]
    }

    pub fn iter(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter().map(|file| file.as_ref())
    }

    /// The line and column of a byte offset; an offset behind the text counts as its end.
    pub fn position(&self, file: FileId, offset: usize) -> Position {
        let SourceFile { text, lines, .. } = self.get(file);
        let offset = floor_char_boundary(text, offset);
        let line = lines.partition_point(|start| *start <= offset);
        let line_start = lines[line - 1];
        Position { line, column: text[line_start..offset].trim_start_matches('\u{feff}').chars().count() + 1 }
    }
}

/// A place as people count it: from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

/// One mistake, or one piece of advice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// A stable word such as `unknown-column`; see the reference for what each one means.
    pub code: &'static str,
    /// What is wrong, with literals in backticks and without a full stop.
    pub message: String,
    pub span: Option<Span>,
    /// Further places, each with a word on what they are.
    pub labels: Vec<(Span, String)>,
    /// What to write instead.
    pub hint: Option<String>,
}

impl Diagnostic {
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Diagnostic {
            severity: Severity::Error,
            code,
            message: message.into(),
            span: None,
            labels: Vec::new(),
            hint: None,
        }
    }

    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, message) }
    }

    pub fn advice(code: &'static str, message: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Advice, ..Diagnostic::error(code, message) }
    }

    pub fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push((span, text.into()));
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// The diagnostics as text for people: message, place, the line with a caret below it, and the hint.
///
/// Sorted by file and line, each one once; those without a place come last. Empty text where there are none.
pub fn render_text(diagnostics: &[Diagnostic], sources: &Sources, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Ascii);
    let mut text = String::new();
    for diagnostic in in_order(diagnostics, sources) {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&renderer.render(&[group(diagnostic, sources)]));
        text.push('\n');
    }
    text
}

/// The diagnostics in one line each, in the order of [`render_text`]: place, message, further places and code. Each comes
/// with its hint.
pub fn render_lines<'a>(diagnostics: &'a [Diagnostic], sources: &Sources) -> Vec<(String, Option<&'a str>)> {
    let ordered = in_order(diagnostics, sources).into_iter();
    ordered.map(|diagnostic| (line(diagnostic, sources), diagnostic.hint.as_deref())).collect()
}

fn line(diagnostic: &Diagnostic, sources: &Sources) -> String {
    let place = |span: Span| {
        let line = sources.position(span.file, span.start).line;
        format!("{}:{line}", sources.get(span.file).path.display())
    };
    let front = diagnostic.span.map(|span| format!("{}: ", place(span))).unwrap_or_default();
    let others: Vec<String> = diagnostic.labels.iter().map(|(span, _)| place(*span)).collect();
    let others = if others.is_empty() { String::new() } else { format!(" (also {})", others.join(", ")) };
    format!("{front}{}{others} [{}]", diagnostic.message, diagnostic.code)
}

/// The diagnostics as a JSON array, in the order of [`render_text`].
///
/// Each has `severity`, `code`, `message`, `file`, `line`, `column`, `end_line`, `end_column`, `source_line`, `labels`
/// and `hint`. Lines and columns count from 1, columns count characters, and the end is exclusive; what does not apply
/// is null.
pub fn to_json(diagnostics: &[Diagnostic], sources: &Sources) -> Value {
    in_order(diagnostics, sources).into_iter().map(|diagnostic| json_entry(diagnostic, sources)).collect()
}

/// Each diagnostic once, by file and place; those without a place last.
fn in_order<'a>(diagnostics: &'a [Diagnostic], sources: &Sources) -> Vec<&'a Diagnostic> {
    let mut ordered: Vec<&Diagnostic> = Vec::with_capacity(diagnostics.len());
    let mut seen = HashSet::new();
    for diagnostic in diagnostics {
        if seen.insert((diagnostic.severity, diagnostic.code, diagnostic.span, &diagnostic.message, &diagnostic.hint)) {
            ordered.push(diagnostic);
        }
    }
    // Stable, so that mistakes at one place stay in the order in which they were found.
    ordered.sort_by_cached_key(|diagnostic| match diagnostic.span {
        Some(span) => (false, Some(sources.get(span.file).path.clone()), span.start),
        None => (true, None, 0),
    });
    ordered
}

fn group<'a>(diagnostic: &'a Diagnostic, sources: &'a Sources) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Advice => Level::INFO.with_name("advice"),
    };
    let mut group = Group::with_title(level.primary_title(&diagnostic.message).id(diagnostic.code));
    let mut files: Vec<FileId> = Vec::new();
    for span in diagnostic.span.iter().chain(diagnostic.labels.iter().map(|(span, _)| span)) {
        if !files.contains(&span.file) {
            files.push(span.file);
        }
    }
    for file in files {
        group = snippet(group, diagnostic, sources, file);
    }
    if let Some(hint) = &diagnostic.hint {
        group = group.element(Level::HELP.with_name("hint").message(hint));
    }
    group
}

/// Adds the lines of one file, with the carets and labels that lie in it.
fn snippet<'a>(group: Group<'a>, diagnostic: &'a Diagnostic, sources: &'a Sources, file: FileId) -> Group<'a> {
    let source = sources.get(file);
    let path = source.path.to_string_lossy();
    // A file that could not be read has a name and no lines.
    if source.text.trim().is_empty() {
        return group.element(Origin::path(path));
    }
    let primary = diagnostic.span.filter(|span| span.file == file).map(|span| (visible(&source.text, span), None));
    let labels = diagnostic.labels.iter().filter(|(span, _)| span.file == file);
    let labels = labels.map(|(span, label)| (visible(&source.text, *span), Some(label.as_str())));
    let ranges: Vec<(Range<usize>, Option<&str>)> = primary.into_iter().chain(labels).collect();

    // Only the lines from the first to the last place are handed over: a file of ten thousand lines costs no more than
    // one of ten.
    let first = ranges.iter().map(|(range, _)| range.start).min().unwrap_or(0);
    let last = ranges.iter().map(|(range, _)| range.end).max().unwrap_or(0);
    let window_start = source.text[..first].rfind('\n').map_or(0, |newline| newline + 1);
    let window_end = source.text[last..].find('\n').map_or(source.text.len(), |newline| last + newline);
    let mut window = &source.text[window_start..window_end];
    let mut cut = window_start;
    if let Some(behind) = window.strip_prefix('\u{feff}') {
        cut += window.len() - behind.len();
        window = behind;
    }
    let line_start = source.text[..window_start].matches('\n').count() + 1;
    // The line breaks of Windows would be drawn as a character.
    let shown = |offset: usize| {
        let before = window.get(..offset.saturating_sub(cut)).unwrap_or(window);
        before.len() - before.matches('\r').count()
    };
    let mut snippet = Snippet::source(window.replace('\r', "")).path(path).line_start(line_start);
    for (range, label) in ranges {
        let range = shown(range.start)..shown(range.end);
        snippet = snippet.annotation(match label {
            None => AnnotationKind::Primary.span(range),
            Some(label) => AnnotationKind::Context.span(range).label(label),
        });
    }
    group.element(snippet)
}

/// The part of a span that gets carets: on one line, on whole characters, inside the text.
fn visible(text: &str, span: Span) -> Range<usize> {
    let start = floor_char_boundary(text, span.start);
    let end = floor_char_boundary(text, span.end.max(start));
    let line_end = text[start..end].find(['\n', '\r']).map_or(end, |newline| start + newline);
    start..line_end
}

fn floor_char_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

fn json_entry(diagnostic: &Diagnostic, sources: &Sources) -> Value {
    let labels: Vec<Value> = diagnostic
        .labels
        .iter()
        .map(|(span, label)| {
            let mut entry = json_place(Some(*span), sources);
            entry["message"] = json!(label);
            entry
        })
        .collect();
    let mut entry = json_place(diagnostic.span, sources);
    entry["severity"] = json!(diagnostic.severity.name());
    entry["code"] = json!(diagnostic.code);
    entry["message"] = json!(diagnostic.message);
    entry["labels"] = json!(labels);
    entry["hint"] = json!(diagnostic.hint);
    entry
}

fn json_place(span: Option<Span>, sources: &Sources) -> Value {
    let Some(span) = span else {
        return json!({
            "file": null, "line": null, "column": null, "end_line": null, "end_column": null, "source_line": null,
        });
    };
    let source = sources.get(span.file);
    let start = sources.position(span.file, span.start);
    let end = sources.position(span.file, span.end.max(span.start));
    json!({
        "file": source.path.to_string_lossy(),
        "line": start.line,
        "column": start.column,
        "end_line": end.line,
        "end_column": end.column,
        "source_line": source.text.lines().nth(start.line - 1).unwrap_or(""),
    })
}

/// The candidate nearest to what was written, if one is near enough to be meant.
///
/// Compared by Damerau-Levenshtein distance without regard to case; about a third of the letters may differ.
pub fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_lowercase();
    let allowed = (written.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&written, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, candidate)| (*distance, candidate.len()))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> (Sources, FileId) {
        let mut sources = Sources::default();
        let text = "kpi: größe\nvalue: sum(vists)\r\nfrom: shop_events\n";
        let file = sources.add("kpis/shop.yaml", text);
        (sources, file)
    }

    fn span(sources: &Sources, file: FileId, word: &str) -> Span {
        let start = sources.get(file).text.find(word).unwrap();
        Span { file, start, end: start + word.len() }
    }

    #[test]
    fn text_shows_line_caret_label_and_hint() {
        let (sources, file) = sources();
        let diagnostic = Diagnostic::error("unknown-column", "unknown column `vists`")
            .at(span(&sources, file, "vists"))
            .label(span(&sources, file, "shop_events"), "the table")
            .hint("did you mean `visits`?");
        assert_eq!(
            render_text(&[diagnostic], &sources, false),
            "\
error[unknown-column]: unknown column `vists`
 --> kpis/shop.yaml:2:12
  |
2 | value: sum(vists)
  |            ^^^^^
3 | from: shop_events
  |       ----------- the table
  |
  = hint: did you mean `visits`?
"
        );
    }

    #[test]
    fn text_is_sorted_and_each_mistake_appears_once() {
        let (mut sources, file) = sources();
        let other = sources.add("kpis/a.yaml", "");
        let late = Diagnostic::warning("late", "late").at(span(&sources, file, "shop_events"));
        let early = Diagnostic::error("early", "early").at(span(&sources, file, "größe"));
        let nowhere = Diagnostic::advice("nowhere", "nowhere").hint("look around");
        let unread = Diagnostic::error("unreadable-file", "unread").at(Span { file: other, start: 0, end: 0 });
        let all = [nowhere, late.clone(), early, late, unread];
        assert_eq!(
            render_text(&all, &sources, false),
            "\
error[unreadable-file]: unread
--> kpis/a.yaml

error[early]: early
 --> kpis/shop.yaml:1:6
  |
1 | kpi: größe
  |      ^^^^^

warning[late]: late
 --> kpis/shop.yaml:3:7
  |
3 | from: shop_events
  |       ^^^^^^^^^^^

advice[nowhere]: nowhere
 |
 = hint: look around
"
        );
        assert!(render_text(&all, &sources, true).contains("\u{1b}["), "colors were asked for");
    }

    #[test]
    fn json_counts_characters_from_one() {
        let (sources, file) = sources();
        let diagnostic = Diagnostic::error("code", "message").at(span(&sources, file, "ße")).hint("hint");
        assert_eq!(
            to_json(&[diagnostic, Diagnostic::error("none", "no place")], &sources),
            json!([
                {
                    "severity": "error", "code": "code", "message": "message", "file": "kpis/shop.yaml",
                    "line": 1, "column": 9, "end_line": 1, "end_column": 11, "source_line": "kpi: größe",
                    "labels": [], "hint": "hint",
                },
                {
                    "severity": "error", "code": "none", "message": "no place", "file": null,
                    "line": null, "column": null, "end_line": null, "end_column": null, "source_line": null,
                    "labels": [], "hint": null,
                },
            ])
        );
    }

    #[test]
    fn any_span_can_be_rendered() {
        let texts = ["", "\n", "a", "é", "\u{feff}kpi: x", "a\tb\r\n\r\nc", "x\n\n\n", "日本\n語"];
        for text in texts {
            let mut sources = Sources::default();
            let file = sources.add("x.yaml", text);
            for start in 0..text.len() + 3 {
                for end in 0..text.len() + 3 {
                    let diagnostic = Diagnostic::error("x", "x").at(Span { file, start, end });
                    let diagnostic = diagnostic.label(Span { file, start: end, end: start }, "label");
                    render_text(std::slice::from_ref(&diagnostic), &sources, false);
                    to_json(&[diagnostic], &sources);
                }
            }
        }
    }

    #[test]
    fn nearest_names_what_was_meant() {
        let known = ["region", "channel", "where", "revenue"];
        for (written, expected) in [
            ("regoin", Some("region")),
            ("Region", Some("region")),
            ("wehre", Some("where")),
            ("chanel", Some("channel")),
            ("cost", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, known), expected, "{written}");
        }
    }
}
