//! One document: from a tree to the type of `spec` that its first key names, with every mistake on the way.
//!
//! A mistake costs the key it is in, not the document: the key is taken out of the tree, and the tree is read again.
//! Whether what remains makes sense is for `validate` to say.

use super::deserialize::{Mistake, MistakeKind, deserialize};
use super::tree::{Entry, Node, NodeValue, ScalarKind, shorten};
use super::{BrokenDocument, DocumentKind};
use crate::diagnostic::{Diagnostic, Span, nearest};
use crate::spec::{Document, KpiSpec, ObjectiveSpec, ProjectSpec, TableSpec};

/// What could be read of a document.
pub(super) enum Read {
    /// With the place of the document's name, and the top-level keys that had mistakes.
    Document {
        document: Box<Document>,
        span: Span,
        taken_out: Vec<String>,
    },
    /// Its kind and name are known, but it could not be read.
    Broken(BrokenDocument),
    Nothing,
}

/// More mistakes than this in one document are a file of another kind.
const MISTAKES_AT_MOST: usize = 50;

pub(super) fn read(mut root: Node, diagnostics: &mut Vec<Diagnostic>) -> Read {
    let Some(kind) = kind(&root, diagnostics) else {
        return Read::Nothing;
    };
    let name = root.entries().iter().find(|entry| !entry.taken_out).map(|entry| &entry.node);
    let name = match name.map(|node| &node.value) {
        Some(NodeValue::Scalar { text, .. }) => text.clone(),
        _ => String::new(),
    };
    let mut taken_out = Vec::new();
    let found = match kind {
        DocumentKind::Project => {
            let spec = recover::<ProjectSpec>(&mut root, kind, &name, &mut taken_out, diagnostics);
            spec.map(|spec| (spec.project.span, Document::Project(spec)))
        }
        DocumentKind::Objective => {
            let spec = recover::<ObjectiveSpec>(&mut root, kind, &name, &mut taken_out, diagnostics);
            spec.map(|spec| (spec.objective.span, Document::Objective(spec)))
        }
        DocumentKind::Table => {
            let spec = recover::<TableSpec>(&mut root, kind, &name, &mut taken_out, diagnostics);
            spec.map(|spec| (spec.table.span, Document::Table(spec)))
        }
        DocumentKind::Kpi => {
            let spec = recover::<KpiSpec>(&mut root, kind, &name, &mut taken_out, diagnostics);
            spec.map(|spec| (spec.kpi.span, Document::Kpi(spec)))
        }
    };
    match found {
        Some((span, document)) => Read::Document { document: Box::new(document), span, taken_out },
        None if name.is_empty() => Read::Nothing,
        None => Read::Broken(BrokenDocument { kind, name }),
    }
}

/// What the first key says the document is.
fn kind(root: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<DocumentKind> {
    let entries = match &root.value {
        NodeValue::Mapping(entries) => entries,
        NodeValue::Refused => return None,
        NodeValue::Null | NodeValue::Scalar { .. } | NodeValue::Sequence(_) => {
            let found = root.describe();
            let message = format!("a document starts with `project:`, `objective:`, `table:` or `kpi:`, found {found}");
            diagnostics.push(unknown_document(message).at(root.span).hint(EXAMPLE));
            return None;
        }
    };
    let Some(first) = entries.iter().find(|entry| !entry.taken_out) else {
        diagnostics.push(unknown_document("an empty mapping is no document").at(root.span).hint(EXAMPLE));
        return None;
    };
    let kind = DocumentKind::from_key(&first.key);
    if kind.is_none() {
        diagnostics.push(unknown_first_key(first, entries).at(first.key_span));
    }
    kind
}

fn unknown_first_key(first: &Entry, entries: &[Entry]) -> Diagnostic {
    let written = shorten(&first.key);
    if first.key == "calendar" {
        let message = format!("`{written}:` documents are not in this version of kpi");
        return Diagnostic::error("not-yet-supported", message).hint("leave the document out for now");
    }
    if let Some(entry) = entries.iter().find(|entry| DocumentKind::from_key(&entry.key).is_some()) {
        let key = &entry.key;
        return unknown_document(format!("the document starts with `{written}`, not with `{key}`"))
            .label(entry.key_span, "what the document is")
            .hint(format!("move the line with `{key}:` to the top; the first key says what the document is"));
    }
    let known = ["project", "table", "kpi", "objective", "calendar"];
    let mistake = unknown_document(format!("a document cannot start with `{written}`"));
    match nearest(&first.key, known) {
        Some(meant) => mistake.hint(format!("did you mean `{meant}`?")),
        None => mistake.hint(EXAMPLE),
    }
}

const EXAMPLE: &str = "the first key is `project`, `objective`, `table` or `kpi`, such as `kpi: close_rate`";

fn unknown_document(message: impl Into<String>) -> Diagnostic {
    Diagnostic::error("unknown-document", message)
}

/// Reads the tree as often as it takes to find every mistake.
fn recover<'n, T: for<'de> serde::Deserialize<'de>>(
    root: &'n mut Node,
    kind: DocumentKind,
    name: &str,
    taken_out: &mut Vec<String>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<T> {
    taken_out.extend(root.entries().iter().filter(|entry| entry.taken_out).map(|entry| entry.key.clone()));
    for _ in 0..MISTAKES_AT_MOST {
        let mistake = match deserialize::<T>(root) {
            Ok(spec) => return Some(spec),
            Err(mistake) => mistake,
        };
        let path = mistake.path();
        diagnostics.extend(diagnostic(&mistake, &path, root, kind, name));
        // The root itself cannot be taken out: it lacks the key that names it, or is not a mapping.
        let (&top, _) = path.split_first()?;
        if let Some(entry) = root.entries().get(top) {
            taken_out.push(entry.key.clone());
        }
        if let MistakeKind::UnknownKey { key, known } = mistake.kind()
            && let Some(meant) = meant_key(key, known)
            && path.len() == 1
        {
            taken_out.push(meant.to_owned());
        }
        root.take_out(&path);
    }
    let message = format!("{} `{name}` has more than {MISTAKES_AT_MOST} mistakes, the rest are not shown", kind.key());
    diagnostics.push(Diagnostic::error("too-many-mistakes", message).at(root.span));
    None
}

/// The mistake in words; none where it follows from one that was reported.
fn diagnostic(mistake: &Mistake, path: &[usize], root: &Node, kind: DocumentKind, name: &str) -> Option<Diagnostic> {
    let span = mistake.span().unwrap_or(root.span);
    let place = |path: &[usize]| match path {
        [] => format!("{} `{}`", kind.key(), shorten(name)),
        _ => format!("`{}`", root.path_in_words(path)),
    };
    let diagnostic = match mistake.kind() {
        MistakeKind::UnknownKey { key, known } => {
            let (_, parent) = path.split_last()?;
            let message = format!("unknown key `{}` in {}", shorten(key), place(parent));
            let hint = if key == "query" && parent.is_empty() {
                "a query is written in a file that ends in `.sql`, behind its header".to_owned()
            } else if let Some(meant) = meant_key(key, known) {
                format!("did you mean `{meant}`?")
            } else {
                format!("known keys are {}", list(known))
            };
            Diagnostic::error("unknown-key", message).at(span).hint(hint)
        }
        MistakeKind::UnknownValue { value, known } => {
            let message = format!("`{}` is no value of {}", shorten(value), place(path));
            let hint = match nearest(value, known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("write {}", list(known)),
            };
            Diagnostic::error("unknown-value", message).at(span).hint(hint)
        }
        MistakeKind::MissingKey(key) => {
            let entries = root.at(path).map_or(&[][..], |node| node.entries());
            if entries
                .iter()
                .any(|entry| entry.taken_out && (entry.key == *key || nearest(&entry.key, [*key]).is_some()))
            {
                return None;
            }
            let span = root.entry_at(path).map_or(span, |entry| entry.key_span);
            Diagnostic::error("missing-key", format!("{} has no `{key}`", place(path)))
                .at(span)
                .hint(format!("add a line such as `{}`", example_line(key, &place(path))))
        }
        MistakeKind::WrongType { expected, found } => {
            let message = format!("{}: expected {expected}, found {found}", place(path));
            let diagnostic = Diagnostic::error("wrong-type", message).at(span);
            match type_hint(expected, root.at(path)) {
                Some(hint) => diagnostic.hint(hint),
                None => diagnostic,
            }
        }
        MistakeKind::Other(message) => Diagnostic::error("wrong-type", format!("{}: {message}", place(path))).at(span),
        MistakeKind::Reported => return None,
    };
    Some(diagnostic)
}

/// The known key that was meant: the nearest, or the language's word for one that other tools use.
fn meant_key(written: &str, known: &[&'static str]) -> Option<&'static str> {
    let other_words = [
        ("filter", "where"),
        ("filters", "where"),
        ("dimensions", "by"),
        ("group_by", "by"),
        ("expr", "value"),
        ("expression", "value"),
        ("sql", "value"),
        ("measure", "value"),
        ("calculation", "value"),
        ("source", "from"),
        ("table", "from"),
        ("model", "from"),
        ("path", "source"),
        ("title", "label"),
        ("date", "time"),
        ("timestamp", "time"),
        ("key", "primary_key"),
        ("fields", "columns"),
        ("measures", "dimensions"),
        ("sql", "expression"),
        ("expr", "expression"),
        ("timezone", "time_zone"),
        ("direction", "better"),
        ("goal", "target"),
    ];
    nearest(written, known.iter().copied()).or_else(|| {
        other_words.iter().find(|(other, ours)| *other == written && known.contains(ours)).map(|pair| pair.1)
    })
}

fn list(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => "none".to_owned(),
    }
}

fn example_line(key: &str, place: &str) -> &'static str {
    match key {
        "project" => "project: crm",
        "table" => "table: accounts",
        "kpi" => "kpi: close_rate",
        "objective" => "objective: loyal_customers",
        "value" => "value: 0.25",
        "source" => "source: Customer survey of 2025",
        "on" => "on: account_id",
        "expression" => "expression: account.region",
        "column" => "column: updated_at",
        "from" if place.contains("stock") => "from: created_at",
        "from" => "from: orders",
        "entity" => "entity: account_id",
        "within" => "within: 90 days",
        "step" => "step: qualified",
        "by" => "by: month",
        "ages" => "ages: 12",
        "weight" => "weight: 0.25",
        _ => "key: value",
    }
}

fn type_hint(expected: &str, node: Option<&Node>) -> Option<String> {
    match node.map(|node| &node.value)? {
        NodeValue::Null => Some("write the value behind the colon, or remove the key".to_owned()),
        NodeValue::Scalar { text, .. } if expected == "a list" => Some(format!("write `[{}]`", shorten(text))),
        NodeValue::Scalar { text, kind: ScalarKind::Text } if expected.contains("number") => {
            let digits: String = text.chars().filter(|c| c.is_ascii_digit() || matches!(c, '.' | '-')).collect();
            let number: f64 = digits.parse().ok()?;
            let number = if text.contains('%') { number / 100.0 } else { number };
            let number = if expected.contains("whole") { number.round() } else { number };
            Some(format!("write `{number}`"))
        }
        NodeValue::Sequence(elements) if expected == "text" && elements.len() == 1 => match &elements[0].node.value {
            NodeValue::Scalar { text, .. } => Some(format!("write `{}` without brackets", shorten(text))),
            _ => None,
        },
        NodeValue::Sequence(_) | NodeValue::Mapping(_) if expected == "text" => {
            Some("put text with brackets or colons in double quotes, or in a block behind `|`".to_owned())
        }
        NodeValue::Scalar { .. } | NodeValue::Sequence(_) | NodeValue::Mapping(_) | NodeValue::Refused => None,
    }
}
