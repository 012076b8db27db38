//! The `table:` document: where rows come from, how they are cleaned, and what they may be broken down by.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::project::{Override, SettingValue};
use super::spanned::{OneOrMany, Pairs, Spanned};
use super::testing::{ColumnTestSpec, RowTestSpec};

/// A table of the project: a file, folder or glob of Parquet or CSV files, or the query of a `.sql` file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableSpec {
    /// The table's name in snake_case, as expressions use it.
    pub table: Spanned<String>,
    /// Where the included catalogue has a table of this name: `merge` changes the keys written here, `replace` all of it.
    #[serde(rename = "override")]
    pub overrides: Option<Spanned<Override>>,
    /// What one row is, for people.
    pub description: Option<Spanned<String>>,
    /// A file, a folder or a glob below the project's `data`, such as `orders/*.parquet`. Left out in `.sql` files.
    pub source: Option<Spanned<String>>,
    /// What becomes of the table while there are no such files: `skip` (the default) skips what stands on it; `empty` takes
    /// it for a table without rows, of the columns that it declares with a `type`.
    pub missing_files: Option<Spanned<MissingFiles>>,
    /// How CSV files are written.
    pub csv: Option<Spanned<CsvSpec>>,
    /// Hive folders (`month=2025-01/`) and their types; filters on them skip whole folders.
    #[serde(default)]
    pub partitioned_by: Pairs<Spanned<String>>,
    /// The column or columns that identify a row. Needed on tables that others join to.
    pub primary_key: Option<Spanned<OneOrMany>>,
    /// The default time column of KPIs over this table; a path through joins such as `order.order_date` is allowed.
    pub time: Option<Spanned<String>>,
    /// The period that one row stands for, where it is longer than a day: `month` for monthly balances. KPIs over the table
    /// have no finer grain.
    pub grain: Option<Spanned<String>>,
    /// What becomes of columns that are declared with a `type` and that the files lack: `error` (the default), or `skip`,
    /// which skips the KPIs that need one.
    pub missing_columns: Option<Spanned<MissingColumns>>,
    /// Columns to rename, cast, clean or describe. Only what needs saying.
    #[serde(default)]
    pub columns: Pairs<Spanned<ColumnSpec>>,
    /// Many-to-one joins, by the name that expressions use: `account: {table: accounts, on: account_id}`.
    #[serde(default)]
    pub joins: Pairs<Spanned<JoinSpec>>,
    /// What KPIs over this table may be broken down by: SQL over its own columns and joined ones.
    #[serde(default)]
    pub dimensions: Pairs<Spanned<DimensionSpec>>,
    /// Named conditions that several KPIs share.
    #[serde(default)]
    pub predicates: Pairs<Spanned<String>>,
    /// The standard filter: rows that do not satisfy it do not exist for any KPI or derived table.
    #[serde(rename = "where")]
    pub condition: Option<Spanned<String>>,
    /// Which column tells how far the data reaches.
    pub freshness: Option<Spanned<FreshnessSpec>>,
    /// How late rows may come: a period counts as complete once the data reaches so far beyond it, such as `7 days`.
    pub lateness: Option<Spanned<String>>,
    /// Tests of whole rows, such as `[{condition: paid_at >= ordered_at}]`.
    pub tests: Option<Vec<Spanned<RowTestSpec>>>,
    /// The query of a `.sql` file; never a key of a YAML document.
    #[serde(skip)]
    #[schemars(skip)]
    pub query: Option<Spanned<String>>,
}

/// What becomes of a table without files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MissingFiles {
    /// What stands on it is skipped.
    Skip,
    /// It has no rows.
    Empty,
}

/// What becomes of declared columns that the files lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MissingColumns {
    /// A mistake.
    Error,
    /// KPIs and breakdowns that need one are left out.
    Skip,
}

/// How the CSV files of a table are written. Every key has a default.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsvSpec {
    /// The character between values. Default: a comma; `"\t"` for tabs.
    pub delimiter: Option<Spanned<String>>,
    /// The character around values. Default: a double quote.
    pub quote: Option<Spanned<String>>,
    /// Words that mean "no value", beside the empty one, such as `["NA", "-"]`.
    pub null_values: Option<Vec<Spanned<String>>>,
}

/// One column: what it is called in the file, its type, and how it is cleaned.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ColumnSpec {
    /// The column's name in the file, if it is another one.
    pub from: Option<Spanned<String>>,
    /// text, integer, double, decimal(p,s), boolean, date or timestamp. Default: as the file says, or as CSV values look.
    #[serde(rename = "type")]
    pub data_type: Option<Spanned<String>>,
    /// The format of dates or timestamps written as text, such as `%d/%m/%Y`.
    pub format: Option<Spanned<String>>,
    /// The time zone of timestamps written without one, or `project` for that of the project. Default: UTC.
    pub time_zone: Option<Spanned<String>>,
    /// A cleaned or computed value: SQL over the columns as the file names them.
    pub expression: Option<Spanned<String>>,
    /// What stands where the files have no value: in empty cells, and everywhere if they lack the column.
    #[serde(rename = "default")]
    pub default_value: Option<Spanned<SettingValue>>,
    /// What the column holds, for people.
    pub description: Option<Spanned<String>>,
    /// Tests of the column's values, such as `[not_null, {min: 0}]`.
    pub tests: Option<Vec<Spanned<ColumnTestSpec>>>,
}

/// A many-to-one join: each row of this table finds at most one row of the other.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinSpec {
    /// The table joined to.
    pub table: Spanned<String>,
    /// `account_id` where both tables call it so, or `owner_id = user_id`; a list for composite keys.
    pub on: Spanned<OneOrMany>,
    /// Of a history table: the columns from which and until which a row is valid, such as `[valid_from, valid_to]`. A row
    /// finds the partner that was valid at its own time.
    pub valid: Option<Spanned<Vec<Spanned<String>>>>,
}

/// A dimension: just its SQL, or its SQL with a label and a description.
#[derive(Debug, Clone)]
pub struct DimensionSpec {
    /// The SQL; without a place of its own when it was written in the short form (then the dimension's place is it).
    pub expression: String,
    pub expression_span: Option<crate::diagnostic::Span>,
    pub label: Option<Spanned<String>>,
    pub description: Option<Spanned<String>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LongDimension {
    /// SQL over the table's own columns and joined ones.
    expression: Spanned<String>,
    /// The name that people see.
    label: Option<Spanned<String>>,
    /// What it groups by, for people.
    description: Option<Spanned<String>>,
}

impl<'de> Deserialize<'de> for DimensionSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DimensionVisitor;
        impl<'de> Visitor<'de> for DimensionVisitor {
            type Value = DimensionSpec;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an SQL expression, or a mapping with `expression`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(DimensionSpec { expression: text.to_owned(), expression_span: None, label: None, description: None })
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
                self.visit_str(if value { "true" } else { "false" })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let long = LongDimension::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(DimensionSpec {
                    expression: long.expression.value,
                    expression_span: Some(long.expression.span),
                    label: long.label,
                    description: long.description,
                })
            }
        }
        deserializer.deserialize_any(DimensionVisitor)
    }
}

impl JsonSchema for DimensionSpec {
    fn schema_name() -> Cow<'static, str> {
        "DimensionSpec".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<LongDimension>();
        json_schema!({ "oneOf": [{ "type": "string" }, long] })
    }
}

/// Which column tells how far a table's data reaches.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FreshnessSpec {
    /// The column whose largest value says up to when the data is complete.
    pub column: Spanned<String>,
    /// How old it may be before a warning, such as `1 day`.
    pub warn: Option<Spanned<String>>,
    /// How old it may be before KPIs are withheld as late, such as `3 days`.
    pub error: Option<Spanned<String>>,
}
