//! YAML text into trees with places. The only module that calls the YAML parser.
//!
//! A file is cut into its documents first and each is parsed by itself, so that one broken document does not hide the
//! mistakes in the others. Untrusted files are held small: nesting, aliases and the number of values have limits.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy};

use super::explain::explain;
use super::tree::{Element, Entry, Node, NodeValue, ScalarKind, shorten};
use crate::diagnostic::{Diagnostic, FileId, Span};

/// Parses one document that lies at `start..end` of a file. `None` if it is empty or cannot be parsed at all; mistakes
/// are added to `diagnostics`.
pub(super) fn parse(
    file: FileId,
    file_text: &str,
    place: std::ops::Range<usize>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Node> {
    let document = &file_text[place.clone()];
    let limits = serde_saphyr::budget! {
        max_depth: 32,
        flow_nesting_limit: 32,
        max_documents: 2,
        max_nodes: 50_000,
        max_events: 200_000,
        max_aliases: 1_000,
        max_anchors: 1_000,
    };
    let options = serde_saphyr::options! {
        budget: limits,
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 50_000, max_replay_stack_depth: 8 },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Raw>(document, options) {
        Ok(raw) => {
            let mut builder = Builder { file, document, start: place.start, inside_cut: false, diagnostics };
            let node = builder.node(raw, None);
            (!matches!(node.value, NodeValue::Null)).then_some(node)
        }
        Err(error) => {
            diagnostics.push(explain(file, document, place.start, &error));
            None
        }
    }
}

/// Where the documents of a stream lie: cut at lines that start with `---` or `...`; empty ones are left out.
pub(super) fn documents(text: &str) -> Vec<std::ops::Range<usize>> {
    let mut documents = Vec::new();
    let mut start = 0;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        // The end marker belongs to neither neighbor, the start marker to the document that it starts.
        if is_marker(line, "---") {
            documents.push(start..at);
            start = at;
        } else if is_marker(line, "...") {
            documents.push(start..at);
            start = at + line.len();
        }
        at += line.len();
    }
    documents.push(start..at);
    documents.retain(|place| !is_empty(&text[place.clone()]));
    documents
}

fn is_marker(line: &str, marker: &str) -> bool {
    let line = line.strip_prefix('\u{feff}').unwrap_or(line);
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// Nothing but comments and directives.
fn is_empty(document: &str) -> bool {
    document.lines().all(|line| {
        let line = line.strip_prefix('\u{feff}').unwrap_or(line);
        let line = if is_marker(line, "---") { &line[3..] } else { line };
        let trimmed = line.trim();
        trimmed.is_empty() || trimmed.starts_with('#') || line.starts_with('%')
    })
}

/// What the parser hands over, before places are put right.
struct Raw {
    value: RawValue,
    /// The place as the parser says it; the end of lists and mappings is not known to it.
    start: usize,
    end: usize,
}

enum RawValue {
    Null,
    Scalar(String, ScalarKind),
    Sequence(Vec<Raw>),
    Mapping(Vec<(Raw, Raw)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = serde_saphyr::Spanned::<RawValue>::deserialize(deserializer)?;
        // Where the value is an alias, the place is that of the text it stands for.
        let span = spanned.defined.span();
        let start = span.byte_offset().and_then(|offset| usize::try_from(offset).ok()).unwrap_or(0);
        let length = span.byte_len().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        Ok(Raw { value: spanned.value, start, end: start.saturating_add(length) })
    }
}

impl<'de> Deserialize<'de> for RawValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RawVisitor;
        impl<'de> Visitor<'de> for RawVisitor {
            type Value = RawValue;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("YAML")
            }
            fn visit_unit<E>(self) -> Result<RawValue, E> {
                Ok(RawValue::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<RawValue, E> {
                Ok(RawValue::Scalar(value.to_string(), ScalarKind::Boolean(value)))
            }
            fn visit_i64<E>(self, value: i64) -> Result<RawValue, E> {
                Ok(RawValue::Scalar(value.to_string(), ScalarKind::Integer(value.into())))
            }
            fn visit_u64<E>(self, value: u64) -> Result<RawValue, E> {
                Ok(RawValue::Scalar(value.to_string(), ScalarKind::Integer(value.into())))
            }
            fn visit_f64<E>(self, value: f64) -> Result<RawValue, E> {
                Ok(RawValue::Scalar(value.to_string(), ScalarKind::Float(value)))
            }
            fn visit_str<E>(self, value: &str) -> Result<RawValue, E> {
                Ok(RawValue::Scalar(value.to_owned(), ScalarKind::Text))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<RawValue, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = elements.next_element()? {
                    values.push(value);
                }
                Ok(RawValue::Sequence(values))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawValue, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(RawValue::Mapping(entries))
            }
        }
        deserializer.deserialize_any(RawVisitor)
    }
}

struct Builder<'t> {
    file: FileId,
    document: &'t str,
    /// Where the document starts in its file.
    start: usize,
    /// Between a value that a comma cut in two and its closing bracket.
    inside_cut: bool,
    diagnostics: &'t mut Vec<Diagnostic>,
}

impl<'t> Builder<'t> {
    /// `key` is the place of the key in front, which stands for a value that was not written.
    fn node(&mut self, raw: Raw, key: Option<Span>) -> Node {
        let span = self.span(raw.start, raw.end);
        match raw.value {
            RawValue::Null => {
                let span = if raw.start == raw.end { key.unwrap_or(span) } else { span };
                Node { span, value: NodeValue::Null }
            }
            RawValue::Scalar(text, kind) => self.scalar(text, kind, span),
            RawValue::Sequence(raw_elements) => {
                let elements: Vec<Element> = raw_elements
                    .into_iter()
                    .map(|raw| Element { node: self.node(raw, None), taken_out: false })
                    .collect();
                let last = elements.last().map(|element| element.node.span.end);
                Node { span: self.enclosing(span, last), value: NodeValue::Sequence(elements) }
            }
            RawValue::Mapping(pairs) => {
                let written_keys = pairs.len();
                let entries = self.entries(pairs);
                if entries.len() < written_keys {
                    return Node { span, value: NodeValue::Refused };
                }
                let last = entries.last().map(|entry| entry.node.span.end.max(entry.key_span.end));
                Node { span: self.enclosing(span, last), value: NodeValue::Mapping(entries) }
            }
        }
    }

    fn scalar(&mut self, text: String, kind: ScalarKind, span: Span) -> Node {
        let written = self.written(span);
        if self.is_cut_by_comma(&text, span) {
            return Node { span, value: NodeValue::Refused };
        }
        let text = match kind {
            ScalarKind::Text => {
                self.check_cut_off(&text, span);
                text
            }
            // `1.10` and `0x1F` stay as they were written where text is expected.
            ScalarKind::Boolean(_) | ScalarKind::Integer(_) | ScalarKind::Float(_) if !written.is_empty() => {
                written.to_owned()
            }
            ScalarKind::Boolean(_) | ScalarKind::Integer(_) | ScalarKind::Float(_) => text,
        };
        // The parser counts the line breaks behind a block to its text.
        let end = span.start + written.trim_end().len();
        Node { span: Span { end, ..span }, value: NodeValue::Scalar { text, kind } }
    }

    fn entries(&mut self, pairs: Vec<(Raw, Raw)>) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::with_capacity(pairs.len());
        let mut first_places = std::collections::HashMap::with_capacity(pairs.len());
        for (raw_key, raw_value) in pairs {
            let was_cut = self.inside_cut;
            let key_node = self.node(raw_key, None);
            let key = match key_node.value {
                NodeValue::Scalar { text, .. } => text,
                // What a comma cut off from the value in front is no key; there is nothing more to say of it.
                NodeValue::Refused if was_cut => {
                    entries.push(Entry {
                        key: String::new(),
                        key_span: key_node.span,
                        node: self.node(raw_value, Some(key_node.span)),
                        taken_out: true,
                    });
                    continue;
                }
                NodeValue::Null | NodeValue::Refused | NodeValue::Sequence(_) | NodeValue::Mapping(_) => {
                    self.refuse_key(&key_node);
                    continue;
                }
            };
            let key_span = key_node.span;
            let node = self.node(raw_value, Some(key_span));
            let mut taken_out = false;
            match first_places.entry(key.clone()) {
                std::collections::hash_map::Entry::Vacant(place) => {
                    place.insert(key_span);
                }
                std::collections::hash_map::Entry::Occupied(first) => {
                    taken_out = true;
                    self.diagnostics.push(
                        Diagnostic::error("duplicate-key", format!("the key `{}` is written twice", shorten(&key)))
                            .at(key_span)
                            .label(*first.get(), "first written here")
                            .hint("keep one of the two"),
                    );
                }
            }
            entries.push(Entry { key, key_span, node, taken_out });
        }
        entries
    }

    fn refuse_key(&mut self, key: &Node) {
        let before = &self.document[..key.span.start.saturating_sub(self.start)];
        let mistake = if before.ends_with('{') && matches!(key.value, NodeValue::Mapping(_)) {
            Diagnostic::error("yaml-syntax", "a value cannot start with `{{`, because YAML reads `{` as a mapping")
                .hint("put the whole value in double quotes: `\"{{ name }}\"`")
        } else {
            Diagnostic::error("yaml-syntax", format!("a key must be a word, not {}", key.describe()))
                .hint("write `key: value`")
        };
        self.diagnostics.push(mistake.at(key.span));
    }

    /// In `{type: decimal(18,2)}` and `[coalesce(a, b)]` YAML ends the value at the comma.
    fn is_cut_by_comma(&mut self, text: &str, span: Span) -> bool {
        let opened = text.matches('(').count();
        let closed = text.matches(')').count();
        if self.inside_cut {
            self.inside_cut = closed <= opened;
            return true;
        }
        let behind = &self.document[(span.end - self.start).min(self.document.len())..];
        let written = self.written(span);
        let comma = behind.trim_start();
        let rest = comma.split(['}', ']', '\n']).next().unwrap_or("");
        let Some(close) = rest.rfind(')') else {
            return false;
        };
        if opened <= closed || !comma.starts_with(',') || written.starts_with(['\'', '"']) {
            return false;
        }
        self.inside_cut = true;
        let whole = &rest[..=close];
        let place = self.start + self.document.len() - comma.len();
        self.diagnostics.push(
            Diagnostic::error("yaml-syntax", format!("the comma ends the value `{}`", shorten(text)))
                .at(Span { start: place, end: place + 1, ..span })
                .hint(format!("put the whole value in double quotes: `\"{}{whole}\"`", shorten(text))),
        );
        true
    }

    /// SQL such as `a = 'x #1'` loses what follows ` #` without a word from YAML.
    fn check_cut_off(&mut self, text: &str, span: Span) {
        let behind = &self.document[(span.end - self.start).min(self.document.len())..];
        let comment = behind.lines().next().unwrap_or("");
        // An apostrophe in prose is no quote; a second one in the comment makes it one.
        let is_cut =
            comment.starts_with([' ', '\t']) && comment.trim_start().starts_with('#') && comment.contains('\'');
        if is_cut && text.matches('\'').count() % 2 == 1 && !self.written(span).starts_with(['\'', '"']) {
            let start = span.end + comment.len() - comment.trim_start().len();
            let comment = Span { start, end: start + 1, ..span };
            self.diagnostics.push(
                Diagnostic::error("yaml-syntax", "` #` starts a comment, so the value ends inside a quoted text")
                    .at(comment)
                    .hint("put the whole value in double quotes, or in a block behind `|`"),
            );
        }
    }

    /// The place of a list or mapping: to its closing bracket, or to the end of its last value.
    fn enclosing(&self, span: Span, last: Option<usize>) -> Span {
        let last = last.unwrap_or(span.start);
        let close = match self.written(Span { end: span.start + 1, ..span }) {
            "[" => ']',
            "{" => '}',
            _ => return Span { end: last.max(span.end), ..span },
        };
        let from = last.max(span.start + 1);
        let rest = &self.document[(from - self.start).min(self.document.len())..];
        let mut at = from;
        let mut in_comment = false;
        for character in rest.chars() {
            at += character.len_utf8();
            match character {
                '#' => in_comment = true,
                '\n' => in_comment = false,
                _ if character == close && !in_comment => return Span { end: at, ..span },
                _ => {}
            }
        }
        Span { end: from, ..span }
    }

    fn span(&self, start: usize, end: usize) -> Span {
        let start = start.min(self.document.len());
        let end = end.clamp(start, self.document.len());
        Span { file: self.file, start: self.start + start, end: self.start + end }
    }

    fn written(&self, span: Span) -> &'t str {
        self.document.get(span.start - self.start..span.end - self.start).unwrap_or("")
    }
}
