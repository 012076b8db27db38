//! A YAML document as a tree in which every key and value knows its place in the file.
//!
//! The tree knows nothing of the definition language. It can have entries taken out, which is how the reader of the
//! language gets past one mistake to the next.

use crate::diagnostic::Span;

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub span: Span,
    pub value: NodeValue,
}

#[derive(Debug, Clone)]
pub(super) enum NodeValue {
    /// Nothing was written, or `~` or `null`.
    Null,
    /// A word, number or boolean, with its text as written or, where quotes were taken off, as meant.
    Scalar {
        text: String,
        kind: ScalarKind,
    },
    Sequence(Vec<Element>),
    Mapping(Vec<Entry>),
    /// Something that was reported as a mistake already.
    Refused,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ScalarKind {
    Text,
    Boolean(bool),
    Integer(i128),
    Float(f64),
}

/// An element of a sequence.
#[derive(Debug, Clone)]
pub(super) struct Element {
    pub node: Node,
    pub taken_out: bool,
}

/// A key of a mapping with its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub key: String,
    pub key_span: Span,
    pub node: Node,
    /// Reported as a mistake; readers of the tree pass over it.
    pub taken_out: bool,
}

impl Node {
    /// What was written, in plain words: `the number 5`, `a list`.
    pub fn describe(&self) -> String {
        match &self.value {
            NodeValue::Null | NodeValue::Refused => "nothing".to_owned(),
            NodeValue::Scalar { text, kind } => {
                let text = shorten(text);
                match kind {
                    ScalarKind::Text => format!("the text `{text}`"),
                    ScalarKind::Boolean(_) => format!("`{text}`"),
                    ScalarKind::Integer(_) | ScalarKind::Float(_) => format!("the number `{text}`"),
                }
            }
            NodeValue::Sequence(_) => "a list".to_owned(),
            NodeValue::Mapping(_) => "a mapping".to_owned(),
        }
    }

    /// The entries of a mapping; none for every other node.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            NodeValue::Mapping(entries) => entries,
            NodeValue::Null | NodeValue::Refused | NodeValue::Scalar { .. } | NodeValue::Sequence(_) => &[],
        }
    }

    /// What stands behind a key of a mapping.
    pub fn key(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// The entries of a mapping, to change.
    pub fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        match &mut self.value {
            NodeValue::Mapping(entries) => entries.iter_mut(),
            NodeValue::Null | NodeValue::Refused | NodeValue::Scalar { .. } | NodeValue::Sequence(_) => [].iter_mut(),
        }
    }

    /// The elements of a sequence, to change.
    pub fn elements_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        let elements = match &mut self.value {
            NodeValue::Sequence(elements) => elements.iter_mut(),
            NodeValue::Null | NodeValue::Refused | NodeValue::Scalar { .. } | NodeValue::Mapping(_) => [].iter_mut(),
        };
        elements.map(|element| &mut element.node)
    }

    /// The text of a word, number or boolean.
    pub fn scalar(&self) -> Option<&str> {
        match &self.value {
            NodeValue::Scalar { text, .. } => Some(text),
            NodeValue::Null | NodeValue::Refused | NodeValue::Sequence(_) | NodeValue::Mapping(_) => None,
        }
    }

    /// The texts of a sequence of scalars.
    pub fn words(&self) -> Vec<&str> {
        match &self.value {
            NodeValue::Sequence(elements) => elements.iter().filter_map(|element| element.node.scalar()).collect(),
            NodeValue::Null | NodeValue::Refused | NodeValue::Scalar { .. } | NodeValue::Mapping(_) => Vec::new(),
        }
    }

    /// Puts another text in the place of a scalar; its place in the file stays.
    pub fn set_scalar(&mut self, text: String) {
        self.value = NodeValue::Scalar { text, kind: ScalarKind::Text };
    }

    /// The node at a path of positions.
    pub fn at(&self, path: &[usize]) -> Option<&Node> {
        let Some((&first, rest)) = path.split_first() else {
            return Some(self);
        };
        match &self.value {
            NodeValue::Sequence(elements) => elements.get(first)?.node.at(rest),
            NodeValue::Mapping(entries) => entries.get(first)?.node.at(rest),
            NodeValue::Null | NodeValue::Refused | NodeValue::Scalar { .. } => None,
        }
    }

    /// The key that a path ends at, if it ends at an entry of a mapping.
    pub fn entry_at(&self, path: &[usize]) -> Option<&Entry> {
        let (&last, parents) = path.split_last()?;
        self.at(parents)?.entries().get(last)
    }

    /// Takes the entry or element at a path out of the tree.
    pub fn take_out(&mut self, path: &[usize]) {
        let Some((&first, rest)) = path.split_first() else {
            return;
        };
        let child = match &mut self.value {
            NodeValue::Sequence(elements) => elements.get_mut(first).map(|e| (&mut e.node, &mut e.taken_out)),
            NodeValue::Mapping(entries) => entries.get_mut(first).map(|e| (&mut e.node, &mut e.taken_out)),
            NodeValue::Null | NodeValue::Refused | NodeValue::Scalar { .. } => None,
        };
        match child {
            Some((_, taken_out)) if rest.is_empty() => *taken_out = true,
            Some((node, _)) => node.take_out(rest),
            None => {}
        }
    }

    /// A path in words, such as `joins.account` or `by[1]`.
    pub fn path_in_words(&self, path: &[usize]) -> String {
        let mut words = String::new();
        let mut node = self;
        for &index in path {
            node = match &node.value {
                NodeValue::Mapping(entries) if index < entries.len() => {
                    if !words.is_empty() {
                        words.push('.');
                    }
                    words.push_str(&entries[index].key);
                    &entries[index].node
                }
                NodeValue::Sequence(elements) if index < elements.len() => {
                    words.push_str(&format!("[{}]", index + 1));
                    &elements[index].node
                }
                NodeValue::Null
                | NodeValue::Refused
                | NodeValue::Scalar { .. }
                | NodeValue::Sequence(_)
                | NodeValue::Mapping(_) => break,
            };
        }
        words
    }
}

/// The first line of a text, cut to a length that fits into a message.
pub(super) fn shorten(text: &str) -> String {
    let line = text.lines().next().unwrap_or("");
    let mut short: String = line.chars().take(40).collect();
    if short.len() < text.trim_end().len() {
        short.push('…');
    }
    short
}
