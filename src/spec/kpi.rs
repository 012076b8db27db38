//! The `kpi:` document: one number that matters, and how people use it.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::spanned::{Later, OneOrMany, Spanned};

/// One KPI. With `from` it aggregates a table; without, its `value` is arithmetic over other KPIs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KpiSpec {
    /// The KPI's name in snake_case.
    pub kpi: Spanned<String>,
    /// The name that people see.
    pub label: Option<Spanned<String>>,
    /// What it measures, in one or two plain sentences.
    pub description: Option<Spanned<String>>,
    /// The formula as the field writes it, for people.
    pub formula: Option<Spanned<String>>,
    /// The common mistake that this definition avoids, for people.
    pub avoids: Option<Spanned<String>>,
    /// The table whose rows are aggregated.
    pub from: Option<Spanned<String>>,
    /// The date or timestamp that places a row in a period. Default: the table's `time`.
    pub time: Option<Spanned<String>>,
    /// Which rows count, beside the table's standard filter.
    #[serde(rename = "where")]
    pub condition: Option<Spanned<String>>,
    /// The value: SQL over aggregates, or over other KPIs where there is no `from`.
    pub value: Option<Spanned<String>>,
    /// `count`, `percent`, `currency`, `days`, `hours`, `points`, ... `percent` shows 0.25 as 25 %.
    pub unit: Option<Spanned<String>>,
    /// Which way is good.
    pub better: Option<Spanned<Better>>,
    /// Dimensions, each by itself; a list inside is a combination. Overall is always there.
    pub by: Option<Vec<Spanned<OneOrMany>>>,
    /// The periods to compute: day, week, month, quarter, year. The first is the one people look at.
    pub grains: Option<Vec<Spanned<String>>>,
    /// What is wanted: a number, or a mapping with value, warn, critical, between, from, until.
    pub target: Option<Spanned<TargetSpec>>,
    /// Who answers for it.
    pub owner: Option<Spanned<String>>,
    /// How often it is looked at: daily, weekly, monthly, quarterly, yearly.
    pub review: Option<Spanned<String>>,
    /// The objective that it serves.
    pub objective: Option<Spanned<String>>,
    /// What somebody decides when it moves.
    pub decides: Option<Spanned<String>>,
    /// KPIs that must not fall while this one rises.
    pub guardrails: Option<Vec<Spanned<String>>>,
    /// Words to select by. The folder's name is always one.
    pub tags: Option<Vec<Spanned<String>>>,
    /// `zero`: a period that the data covers and that has no rows has the value 0.
    pub fill: Option<Spanned<Fill>>,
    /// Below so many observations a value is shown but not judged.
    pub minimum_n: Option<Spanned<u64>>,
    /// Dimensions without which the KPI must not be asked.
    pub required_dimensions: Option<Vec<Spanned<String>>>,

    // The rest of the language: read, and refused by name until it is there.
    /// A trailing window such as `365 days`, or `all` for a running total. Not in this version.
    pub window: Option<Spanned<Later>>,
    /// A running total since the start of this period, such as `year`. Not in this version.
    pub to_date: Option<Spanned<Later>>,
    /// A level instead of a flow: the columns in which a row begins and ceases to count. Not in this version.
    pub stock: Option<Spanned<Later>>,
    /// Whether a level is read at the `start` or the `end` of the period. Not in this version.
    pub at: Option<Spanned<Later>>,
    /// The entity that is aggregated first, by itself. Not in this version.
    pub per: Option<Spanned<Later>>,
    /// What is computed for each entity of `per`. Not in this version.
    pub columns: Option<Spanned<Later>>,
    /// The event that follows the base event, and within which time. Not in this version.
    pub conversion: Option<Spanned<Later>>,
    /// Whether a conversion counts in the period of its base event or in its own. Not in this version.
    pub count_on: Option<Spanned<Later>>,
    /// Ordered steps, each with its condition. Not in this version.
    pub funnel: Option<Spanned<Later>>,
    /// Values by age since an entity first appeared. Not in this version.
    pub cohort: Option<Spanned<Later>>,
    /// Weights of other KPIs, by attainment of their targets. Not in this version.
    pub composite: Option<Spanned<Later>>,
    /// Narrower variants of other KPIs, under names of their own. Not in this version.
    pub inputs: Option<Spanned<Later>>,
    /// How long the youngest member of a period needs before its value counts. Not in this version.
    pub ripens: Option<Spanned<Later>>,
    /// Tests of the definition, on rows given beside it. Not in this version.
    pub tests: Option<Spanned<Later>>,
    /// The query of a `.sql` file; never a key of a YAML document.
    #[serde(skip)]
    #[schemars(skip)]
    pub query: Option<Spanned<String>>,
}

impl KpiSpec {
    /// The keys that this version reads but cannot compute yet, as written.
    pub fn later_keys(&self) -> Vec<(&'static str, crate::diagnostic::Span)> {
        let keys = [
            ("window", &self.window),
            ("to_date", &self.to_date),
            ("stock", &self.stock),
            ("at", &self.at),
            ("per", &self.per),
            ("columns", &self.columns),
            ("conversion", &self.conversion),
            ("count_on", &self.count_on),
            ("funnel", &self.funnel),
            ("cohort", &self.cohort),
            ("composite", &self.composite),
            ("inputs", &self.inputs),
            ("ripens", &self.ripens),
            ("tests", &self.tests),
        ];
        keys.into_iter().filter_map(|(key, value)| value.as_ref().map(|value| (key, value.span))).collect()
    }
}

/// Which way is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
    /// Inside a band is good.
    Within,
    /// Neither; context only.
    None,
}

/// What a covered period without rows is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    /// The value 0.
    Zero,
}

/// What is wanted of a KPI: `target: 0.25`, or a mapping.
#[derive(Debug, Clone, Default)]
pub struct TargetSpec {
    /// The value to reach.
    pub value: Option<f64>,
    pub warn: Option<Spanned<f64>>,
    pub critical: Option<Spanned<f64>>,
    /// The band of `better: within`, low and high.
    pub between: Option<Spanned<Vec<f64>>>,
    pub from: Option<Spanned<String>>,
    pub until: Option<Spanned<String>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LongTarget {
    /// The value to reach.
    value: Option<f64>,
    /// A missed target is at risk as long as it stays on this side of `warn`, and off track beyond.
    warn: Option<Spanned<f64>>,
    /// Beyond this it is critical.
    critical: Option<Spanned<f64>>,
    /// The band of `better: within`, low and high.
    between: Option<Spanned<Vec<f64>>>,
    /// The first day on which the target holds.
    from: Option<Spanned<String>>,
    /// The last day on which the target holds.
    until: Option<Spanned<String>>,
}

impl<'de> Deserialize<'de> for TargetSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TargetVisitor;
        impl<'de> Visitor<'de> for TargetVisitor {
            type Value = TargetSpec;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a number, or a mapping with `value`")
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
                Ok(TargetSpec { value: Some(value), ..TargetSpec::default() })
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
                self.visit_f64(value as f64)
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
                self.visit_f64(value as f64)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let LongTarget { value, warn, critical, between, from, until } =
                    LongTarget::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(TargetSpec { value, warn, critical, between, from, until })
            }
        }
        deserializer.deserialize_any(TargetVisitor)
    }
}

impl JsonSchema for TargetSpec {
    fn schema_name() -> Cow<'static, str> {
        "TargetSpec".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<LongTarget>();
        json_schema!({ "oneOf": [{ "type": "number" }, long] })
    }
}
