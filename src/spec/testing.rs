//! Tests that analysts write beside what they test: of columns, of whole rows, and of KPIs on given rows.
//!
//! What a test may name is decided in `validate`; values keep the text that was written, since only the column that they
//! are compared with knows their type.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::spanned::{OneOrMany, Pairs, SCALAR, Spanned};

/// What a failed test does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TestSeverity {
    /// It is told, and nothing else.
    Warn,
    /// It keeps KPIs from being published.
    Error,
}

/// A test of a column: `not_null`, `unique`, or a mapping.
#[derive(Debug, Clone, Default)]
pub struct ColumnTestSpec {
    pub not_null: Option<bool>,
    pub unique: Option<bool>,
    pub accepted: Option<Spanned<Vec<Spanned<Literal>>>>,
    pub min: Option<Spanned<Literal>>,
    pub max: Option<Spanned<Literal>>,
    pub relationship: Option<Spanned<String>>,
    pub condition: Option<Spanned<String>>,
    pub severity: Option<Spanned<TestSeverity>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LongColumnTest {
    /// Every row has a value.
    not_null: Option<bool>,
    /// No two rows have the same value; rows without one do not count.
    unique: Option<bool>,
    /// The values that there may be.
    accepted: Option<Spanned<Vec<Spanned<Literal>>>>,
    /// The least value that there may be.
    min: Option<Spanned<Literal>>,
    /// The greatest value that there may be.
    max: Option<Spanned<Literal>>,
    /// Every value is in a column of another table: `accounts` for its primary key, or `accounts.account_id`.
    relationship: Option<Spanned<String>>,
    /// Only rows that satisfy this condition are tested.
    #[serde(rename = "where")]
    condition: Option<Spanned<String>>,
    /// `error`, the default, or `warn`.
    severity: Option<Spanned<TestSeverity>>,
}

/// The tests of a column that are one word.
const COLUMN_TESTS: &[&str] = &["not_null", "unique"];

impl<'de> Deserialize<'de> for ColumnTestSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ColumnTestVisitor;
        impl<'de> Visitor<'de> for ColumnTestVisitor {
            type Value = ColumnTestSpec;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("`not_null`, `unique`, or a mapping such as `{min: 0}`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                match text {
                    "not_null" => Ok(ColumnTestSpec { not_null: Some(true), ..ColumnTestSpec::default() }),
                    "unique" => Ok(ColumnTestSpec { unique: Some(true), ..ColumnTestSpec::default() }),
                    _ => Err(E::unknown_variant(text, COLUMN_TESTS)),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let LongColumnTest { not_null, unique, accepted, min, max, relationship, condition, severity } =
                    LongColumnTest::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(ColumnTestSpec { not_null, unique, accepted, min, max, relationship, condition, severity })
            }
        }
        deserializer.deserialize_any(ColumnTestVisitor)
    }
}

impl JsonSchema for ColumnTestSpec {
    fn schema_name() -> Cow<'static, str> {
        "ColumnTestSpec".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<LongColumnTest>();
        json_schema!({ "oneOf": [{ "type": "string", "enum": COLUMN_TESTS }, long] })
    }
}

/// A test of the rows of a table: a `condition` that holds for each, or columns that are `unique` together.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RowTestSpec {
    /// What holds, in words. Default: the condition itself.
    pub name: Option<Spanned<String>>,
    /// What holds for every row; a row fails where it is false.
    pub condition: Option<Spanned<String>>,
    /// Columns that no two rows have alike; rows without one of them do not count.
    pub unique: Option<Spanned<OneOrMany>>,
    /// Only rows that satisfy this condition are tested.
    #[serde(rename = "where")]
    pub filter: Option<Spanned<String>>,
    /// `error`, the default, or `warn`.
    pub severity: Option<Spanned<TestSeverity>>,
}

/// A test of a KPI: on `given` rows with what to `expect`, or an `assert` about its real results.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KpiTestSpec {
    /// What is tested, in words.
    pub name: Option<Spanned<String>>,
    /// For each table its rows, under the names that its files use. Tables that are not given are empty.
    pub given: Option<Spanned<Pairs<GivenTableSpec>>>,
    /// The day from whose end the test looks. Default: the last day of the last period expected.
    pub as_of: Option<Spanned<String>>,
    /// Rows of the result: `period_start`, dimensions by name, and the `value` or other columns of the result.
    pub expect: Option<GivenTableSpec>,
    /// A condition that holds for every row of the real results.
    pub assert: Option<Spanned<String>>,
    /// `error`, the default, or `warn`; of an `assert`.
    pub severity: Option<Spanned<TestSeverity>>,
}

/// Rows that a test gives, or expects.
pub type GivenTableSpec = Spanned<Vec<Spanned<GivenRowSpec>>>;
/// The values of a row by column.
pub type GivenRowSpec = Pairs<Spanned<GivenValue>>;

/// A word, number or boolean as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal(pub String);

impl<'de> Deserialize<'de> for Literal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Literal)
    }
}

impl JsonSchema for Literal {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Literal".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["boolean", "number", "string"] })
    }
}

/// A value of a row that a test gives or expects, as it was written; nothing where it was left empty or is `null`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenValue(pub Option<String>);

impl<'de> Deserialize<'de> for GivenValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct GivenVisitor;
        impl Visitor<'_> for GivenVisitor {
            type Value = GivenValue;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(GivenValue(None))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(GivenValue(Some(text.to_owned())))
            }
        }
        deserializer.deserialize_newtype_struct(SCALAR, GivenVisitor)
    }
}

impl JsonSchema for GivenValue {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "GivenValue".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // Nothing is a value as well, so there is no list of types.
        json_schema!({})
    }
}
