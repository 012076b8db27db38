//! Reads the types of `spec` out of a tree, by way of serde.
//!
//! Two things set this apart from serde's usual deserializers: it answers [`SPANNED`] with places and [`SCALAR`] with
//! texts as written, and its errors say where in the tree they happened, so that the caller can take that entry out and read
//! on. It does not word messages.

use std::fmt;

use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor};

use super::tree::{Element, Entry, Node, NodeValue, ScalarKind};
use crate::diagnostic::Span;
use crate::spec::{SCALAR, SPANNED};

/// Reads a value, or says the first mistake.
pub(super) fn deserialize<'n, T: Deserialize<'n>>(node: &'n Node) -> Result<T, Mistake> {
    T::deserialize(NodeDeserializer { node })
}

/// What does not fit, and where in the tree.
#[derive(Debug)]
pub(super) struct Mistake(Box<MistakeParts>);

#[derive(Debug)]
struct MistakeParts {
    kind: MistakeKind,
    span: Option<Span>,
    /// The positions from the innermost outward; empty where the root itself does not fit.
    path: Vec<usize>,
}

#[derive(Debug)]
pub(super) enum MistakeKind {
    UnknownKey {
        key: String,
        known: &'static [&'static str],
    },
    UnknownValue {
        value: String,
        known: &'static [&'static str],
    },
    MissingKey(&'static str),
    WrongType {
        expected: String,
        found: String,
    },
    /// Words of a type of `spec` itself.
    Other(String),
    /// It has a diagnostic already.
    Reported,
}

impl Mistake {
    pub fn kind(&self) -> &MistakeKind {
        &self.0.kind
    }

    pub fn span(&self) -> Option<Span> {
        self.0.span
    }

    /// The positions from the root inward.
    pub fn path(&self) -> Vec<usize> {
        self.0.path.iter().rev().copied().collect()
    }

    fn new(kind: MistakeKind) -> Self {
        Mistake(Box::new(MistakeParts { kind, span: None, path: Vec::new() }))
    }

    /// The innermost place wins.
    fn at(mut self, span: Span) -> Self {
        self.0.span.get_or_insert(span);
        self
    }

    fn inside(mut self, index: usize) -> Self {
        self.0.path.push(index);
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:?}", self.0.kind)
    }
}

impl std::error::Error for Mistake {}

impl de::Error for Mistake {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Mistake::new(MistakeKind::Other(message.to_string()))
    }

    fn invalid_type(found: Unexpected, expected: &dyn de::Expected) -> Self {
        Mistake::new(MistakeKind::WrongType { expected: expected.to_string(), found: in_words(found) })
    }

    fn invalid_value(found: Unexpected, expected: &dyn de::Expected) -> Self {
        // Serde names the Rust type here; everything but the size was looked at before.
        let expected = match expected.to_string() {
            name if name.starts_with(['i', 'u', 'f']) && name[1..].parse::<u8>().is_ok() => {
                "a smaller number".to_owned()
            }
            other => other,
        };
        Mistake::new(MistakeKind::WrongType { expected, found: in_words(found) })
    }

    fn unknown_variant(value: &str, known: &'static [&'static str]) -> Self {
        Mistake::new(MistakeKind::UnknownValue { value: value.to_owned(), known })
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Mistake::new(MistakeKind::UnknownKey { key: key.to_owned(), known })
    }

    fn missing_field(key: &'static str) -> Self {
        Mistake::new(MistakeKind::MissingKey(key))
    }
}

/// What serde found; only reached where the node itself does not say it better.
fn in_words(found: Unexpected) -> String {
    match found {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("the number `{value}`"),
        Unexpected::Signed(value) => format!("the number `{value}`"),
        Unexpected::Float(value) => format!("the number `{value}`"),
        Unexpected::Str(value) => format!("the text `{}`", super::tree::shorten(value)),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping".to_owned(),
        other => other.to_string(),
    }
}

/// One node, as serde asks for it.
#[derive(Clone, Copy)]
struct NodeDeserializer<'n> {
    node: &'n Node,
}

impl NodeDeserializer<'_> {
    fn wrong(&self, expected: &str) -> Mistake {
        let kind = match self.node.value {
            NodeValue::Refused => MistakeKind::Reported,
            _ => MistakeKind::WrongType { expected: expected.to_owned(), found: self.node.describe() },
        };
        Mistake::new(kind).at(self.node.span)
    }

    fn integer(&self) -> Option<i128> {
        match self.node.value {
            NodeValue::Scalar { kind: ScalarKind::Integer(number), .. } => Some(number),
            _ => None,
        }
    }
}

macro_rules! whole_numbers {
    ($($method:ident $visit:ident $wide:ty, $expected:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
            match self.integer().and_then(|number| <$wide>::try_from(number).ok()) {
                Some(number) => visitor.$visit(number).map_err(|mistake: Mistake| mistake.at(self.node.span)),
                None => Err(self.wrong($expected)),
            }
        }
    )*};
}

macro_rules! texts {
    ($($method:ident)*) => {$(
        /// Numbers and booleans are text as they were written: analysts write `where: true`.
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
            match &self.node.value {
                NodeValue::Scalar { text, .. } => {
                    visitor.visit_str(text).map_err(|mistake: Mistake| mistake.at(self.node.span))
                }
                _ => Err(self.wrong("text")),
            }
        }
    )*};
}

impl<'de, 'n: 'de> de::Deserializer<'de> for NodeDeserializer<'n> {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let visited = match &self.node.value {
            NodeValue::Null => visitor.visit_unit(),
            NodeValue::Refused => Err(self.wrong("")),
            NodeValue::Sequence(elements) => visitor.visit_seq(Elements { elements: elements.iter().enumerate() }),
            NodeValue::Mapping(entries) => visitor.visit_map(Entries::new(entries)),
            NodeValue::Scalar { text, kind } => match *kind {
                ScalarKind::Text => visitor.visit_str(text),
                ScalarKind::Boolean(value) => visitor.visit_bool(value),
                ScalarKind::Float(number) => visitor.visit_f64(number),
                ScalarKind::Integer(number) => match (u64::try_from(number), i64::try_from(number)) {
                    (Ok(number), _) => visitor.visit_u64(number),
                    (_, Ok(number)) => visitor.visit_i64(number),
                    _ => visitor.visit_str(text),
                },
            },
        };
        visited.map_err(|mistake| mistake.at(self.node.span))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.node.value {
            NodeValue::Scalar { kind: ScalarKind::Boolean(value), .. } => visitor.visit_bool(value),
            _ => Err(self.wrong("`true` or `false`")),
        }
    }

    whole_numbers! {
        deserialize_i8 visit_i64 i64, "a whole number";
        deserialize_i16 visit_i64 i64, "a whole number";
        deserialize_i32 visit_i64 i64, "a whole number";
        deserialize_i64 visit_i64 i64, "a whole number";
        deserialize_u8 visit_u64 u64, "a whole number from 0";
        deserialize_u16 visit_u64 u64, "a whole number from 0";
        deserialize_u32 visit_u64 u64, "a whole number from 0";
        deserialize_u64 visit_u64 u64, "a whole number from 0";
    }

    texts! { deserialize_str deserialize_string deserialize_char deserialize_identifier }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.node.value {
            NodeValue::Scalar { kind: ScalarKind::Float(number), .. } => visitor.visit_f64(number),
            NodeValue::Scalar { kind: ScalarKind::Integer(number), .. } => visitor.visit_f64(number as f64),
            _ => Err(self.wrong("a number")),
        }
    }

    /// A key without a value is there, and what it holds decides whether that is a mistake.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Mistake> {
        match (&self.node.value, name) {
            (NodeValue::Null, SCALAR) => visitor.visit_unit(),
            (NodeValue::Scalar { text, .. }, SCALAR) => visitor.visit_str(text),
            (_, SCALAR) => Err(self.wrong("a word, a number or a boolean")),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.node.value {
            NodeValue::Null => visitor.visit_seq(Elements { elements: [].iter().enumerate() }),
            NodeValue::Sequence(elements) => visitor.visit_seq(Elements { elements: elements.iter().enumerate() }),
            _ => Err(self.wrong("a list")),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let visited = match &self.node.value {
            NodeValue::Null => visitor.visit_map(Entries::new(&[])),
            NodeValue::Mapping(entries) => visitor.visit_map(Entries::new(entries)),
            _ => Err(self.wrong("a mapping of `key: value` lines")),
        };
        visited.map_err(|mistake| mistake.at(self.node.span))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        match name {
            SPANNED => visitor.visit_seq(SpannedParts { span: self.node.span, value: self, next: 0 }),
            _ => self.deserialize_map(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        match &self.node.value {
            NodeValue::Scalar { text, .. } => {
                let variant: StrDeserializer<Mistake> = text.as_str().into_deserializer();
                visitor.visit_enum(variant).map_err(|mistake| mistake.at(self.node.span))
            }
            _ => Err(self.wrong("text")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! { i128 u128 bytes byte_buf unit unit_struct }
}

/// A key, as serde asks for it: text with a place.
#[derive(Clone, Copy)]
struct KeyDeserializer<'n> {
    entry: &'n Entry,
}

impl<'de, 'n: 'de> de::Deserializer<'de> for KeyDeserializer<'n> {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_str(&self.entry.key).map_err(|mistake: Mistake| mistake.at(self.entry.key_span))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        match name {
            SPANNED => visitor.visit_seq(SpannedParts { span: self.entry.key_span, value: self, next: 0 }),
            _ => self.deserialize_any(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// The four parts of a `Spanned`: file, start, end, value.
struct SpannedParts<D> {
    span: Span,
    value: D,
    next: u8,
}

impl<'de, D: de::Deserializer<'de, Error = Mistake> + Copy> SeqAccess<'de> for SpannedParts<D> {
    type Error = Mistake;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Mistake> {
        self.next += 1;
        match self.next {
            1 => seed.deserialize(self.span.file.0.into_deserializer()),
            2 => seed.deserialize((self.span.start as u64).into_deserializer()),
            3 => seed.deserialize((self.span.end as u64).into_deserializer()),
            4 => seed.deserialize(self.value),
            _ => return Ok(None),
        }
        .map(Some)
    }
}

struct Elements<'n> {
    elements: std::iter::Enumerate<std::slice::Iter<'n, Element>>,
}

impl<'de, 'n: 'de> SeqAccess<'de> for Elements<'n> {
    type Error = Mistake;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Mistake> {
        let Some((index, element)) = self.elements.find(|(_, element)| !element.taken_out) else {
            return Ok(None);
        };
        seed.deserialize(NodeDeserializer { node: &element.node }).map(Some).map_err(|mistake| mistake.inside(index))
    }
}

struct Entries<'n> {
    entries: std::iter::Enumerate<std::slice::Iter<'n, Entry>>,
    /// The entry whose value comes next.
    current: Option<(usize, &'n Entry)>,
}

impl<'n> Entries<'n> {
    fn new(entries: &'n [Entry]) -> Self {
        Entries { entries: entries.iter().enumerate(), current: None }
    }
}

impl<'de, 'n: 'de> MapAccess<'de> for Entries<'n> {
    type Error = Mistake;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Mistake> {
        self.current = self.entries.find(|(_, entry)| !entry.taken_out);
        let Some((index, entry)) = self.current else {
            return Ok(None);
        };
        seed.deserialize(KeyDeserializer { entry }).map(Some).map_err(|mistake| mistake.inside(index))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Mistake> {
        let Some((index, entry)) = self.current else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(NodeDeserializer { node: &entry.node }).map_err(|mistake| mistake.inside(index))
    }
}
