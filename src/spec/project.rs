//! The `project:` document: what holds for every table and KPI.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::spanned::{Pairs, Spanned};
use crate::diagnostic::{FileId, Span};

/// What holds for the whole project. Exactly one per project.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectSpec {
    /// The project's name, in snake_case.
    pub project: Spanned<String>,
    /// What the project measures, for people.
    pub description: Option<Spanned<String>>,
    /// The IANA time zone whose days, weeks and months are reported, such as `America/New_York`. Default: UTC.
    pub time_zone: Option<Spanned<String>>,
    /// The first day of a week, such as `monday` (the default) or `sunday`.
    pub week_starts: Option<Spanned<String>>,
    /// The month (1 to 12) in which the fiscal year starts. Default: 1. Quarters and years follow it.
    pub fiscal_year_starts: Option<Spanned<u32>>,
    /// The reporting currency, as an ISO 4217 code; units of `currency` show it.
    pub currency: Option<Spanned<String>>,
    /// Where relative table sources start: a folder, relative to this file, or a URL such as `s3://bucket/exports`. Default:
    /// `../data`.
    pub data: Option<Spanned<String>>,
    /// Where results are published: a folder, relative to this file, or a URL such as `s3://bucket/kpi`. Default: `../out`.
    pub output: Option<Spanned<String>>,
    /// Folders and URLs that tables may read beside `data`; other sources are refused.
    pub allowed_locations: Option<Vec<Spanned<String>>>,
    /// Values for `{{ name }}` in expressions.
    #[serde(default)]
    pub settings: Pairs<Spanned<SettingValue>>,
    /// Settings that say something about this company alone. Where the project is included as a catalogue they are NULL until
    /// the project that includes it gives them a value.
    pub own_settings: Option<Vec<Spanned<String>>>,
    /// The bundled catalogue, with its tables, KPIs, objectives and settings: `include: crm`, or a mapping.
    pub include: Option<Spanned<IncludeSpec>>,
}

/// Which catalogue a project includes, and which of its KPIs.
#[derive(Debug, Clone)]
pub struct IncludeSpec {
    /// Without a place of its own where only the name was written; then the key's value is its place.
    pub catalogue: Spanned<String>,
    pub kpis: Option<Vec<Spanned<String>>>,
    pub hide: Option<Vec<Spanned<String>>>,
    pub targets: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LongInclude {
    /// The catalogue's name: `crm`.
    catalogue: Spanned<String>,
    /// The KPIs wanted of it, by name, `tag:NAME` or `objective:NAME`. Default: all. What they need comes along unseen.
    kpis: Option<Vec<Spanned<String>>>,
    /// KPIs that nobody wants to see, by name, `tag:NAME` or `objective:NAME`.
    hide: Option<Vec<Spanned<String>>>,
    /// `true`: the targets of the company behind the catalogue's sample data hold here as well.
    #[serde(default)]
    targets: bool,
}

impl<'de> Deserialize<'de> for IncludeSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IncludeVisitor;
        impl<'de> Visitor<'de> for IncludeVisitor {
            type Value = IncludeSpec;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("the name of a catalogue, or a mapping with `catalogue`")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
                let nowhere = Span { file: FileId(0), start: 0, end: 0 };
                Ok(IncludeSpec {
                    catalogue: Spanned::new(name.to_owned(), nowhere),
                    kpis: None,
                    hide: None,
                    targets: false,
                })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let long = LongInclude::deserialize(de::value::MapAccessDeserializer::new(map))?;
                let LongInclude { catalogue, kpis, hide, targets } = long;
                Ok(IncludeSpec { catalogue, kpis, hide, targets })
            }
        }
        deserializer.deserialize_any(IncludeVisitor)
    }
}

impl JsonSchema for IncludeSpec {
    fn schema_name() -> Cow<'static, str> {
        "IncludeSpec".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<LongInclude>();
        json_schema!({ "oneOf": [{ "type": "string" }, long] })
    }
}

/// What a document is to the included definition of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Override {
    /// The keys written here take the place of those of the included definition; the others stay.
    Merge,
    /// This definition takes the place of the included one.
    Replace,
}

/// The value of a setting: a number, a text, a boolean or nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum SettingValue {
    /// NULL in expressions.
    Nothing,
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(String),
}

impl<'de> Deserialize<'de> for SettingValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SettingVisitor;
        impl<'de> Visitor<'de> for SettingVisitor {
            type Value = SettingValue;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a number, a text, a boolean or nothing")
            }
            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(SettingValue::Nothing)
            }
            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
                Ok(SettingValue::Boolean(value))
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
                Ok(SettingValue::Integer(value))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
                i64::try_from(value).map(SettingValue::Integer).map_err(|_| E::custom("the number is too large"))
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
                Ok(SettingValue::Number(value))
            }
            fn visit_str<E: de::Error>(self, value: &str) -> Result<Self::Value, E> {
                Ok(SettingValue::Text(value.to_owned()))
            }
        }
        deserializer.deserialize_any(SettingVisitor)
    }
}

impl JsonSchema for SettingValue {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "SettingValue".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["boolean", "number", "string", "null"] })
    }
}
