//! The `kpi:` document: one number that matters, and how people use it.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::project::Override;
use super::spanned::{OneOrMany, Pairs, Spanned};
use super::testing::KpiTestSpec;

/// One KPI. With `from` it aggregates a table; without, its `value` is arithmetic over other KPIs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KpiSpec {
    /// The KPI's name in snake_case.
    pub kpi: Spanned<String>,
    /// Where the included catalogue has a KPI of this name: `merge` changes the keys written here, `replace` all of it.
    #[serde(rename = "override")]
    pub overrides: Option<Spanned<Override>>,
    /// Another name for a KPI of the included catalogue, which what refers to it follows.
    pub rename: Option<Spanned<String>>,
    /// `true`: it is not listed, run or published by itself; other KPIs may need it.
    pub hide: Option<Spanned<bool>>,
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
    /// The finest period in which the value says something. Asking for a finer one is refused.
    pub minimum_grain: Option<Spanned<String>>,
    /// What is wanted: a number, or a mapping with value, warn, critical, between, from, until and more.
    pub target: Option<Spanned<TargetSpec>>,
    /// What others reach, each with its source; shown beside the values and never judged against.
    pub benchmarks: Option<Vec<Spanned<BenchmarkSpec>>>,
    /// Who answers for it.
    pub owner: Option<Spanned<String>>,
    /// How often it is looked at: daily, weekly, monthly, quarterly, yearly.
    pub review: Option<Spanned<String>>,
    /// The objective that it serves, by name.
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
    /// Tests of the definition on given rows, and conditions on its results.
    pub tests: Option<Vec<Spanned<KpiTestSpec>>>,

    /// A trailing window such as `365 days`, or `all` for a running total.
    pub window: Option<Spanned<String>>,
    /// A running total since the start of this period, such as `year`.
    pub to_date: Option<Spanned<String>>,
    /// A level instead of a flow: the columns in which a row begins and ceases to count.
    pub stock: Option<Spanned<StockSpec>>,
    /// Whether a level is read at the `start` or the `end` of the period.
    pub at: Option<Spanned<At>>,
    /// The entity that is aggregated first, by itself.
    pub per: Option<Spanned<OneOrMany>>,
    /// What is computed for each entity of `per`, by name: SQL over aggregates.
    #[serde(default)]
    pub columns: Pairs<Spanned<String>>,
    /// The event that follows the base event, and within which time.
    pub conversion: Option<Spanned<ConversionSpec>>,
    /// Whether a converted row counts in the period of its base event or in that of its conversion.
    pub count_on: Option<Spanned<CountOn>>,
    /// Ordered steps, each with its condition.
    pub funnel: Option<Spanned<Vec<Spanned<StepSpec>>>>,
    /// Values by age since an entity first appeared.
    pub cohort: Option<Spanned<CohortSpec>>,
    /// Weights of other KPIs, by attainment of their targets.
    #[serde(default)]
    pub composite: Pairs<Spanned<PartSpec>>,
    /// Narrower variants of other KPIs, under names of their own.
    #[serde(default)]
    pub inputs: Pairs<Spanned<InputSpec>>,
    /// How long the youngest member of a period needs before its value counts, such as `90 days`.
    pub ripens: Option<Spanned<String>>,

    /// The query of a `.sql` file; never a key of a YAML document.
    #[serde(skip)]
    #[schemars(skip)]
    pub query: Option<Spanned<String>>,
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

impl Better {
    /// The word of the definitions.
    pub fn name(self) -> &'static str {
        match self {
            Better::Higher => "higher",
            Better::Lower => "lower",
            Better::Within => "within",
            Better::None => "none",
        }
    }
}

/// What a covered period without rows is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    /// The value 0.
    Zero,
}

/// A level: the rows that are there at an instant.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StockSpec {
    /// The date or timestamp from which on a row counts.
    pub from: Spanned<String>,
    /// The date or timestamp from which on it does not count any more; NULL as long as it counts.
    pub to: Option<Spanned<String>>,
}

/// Where in a period a level is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum At {
    /// At the end of the day before the period.
    Start,
    /// At the end of the period's last day.
    End,
}

/// An event that may follow the base event of the same entity.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConversionSpec {
    /// The table that holds the conversions.
    pub from: Spanned<String>,
    /// When a conversion happened. Default: that table's `time`.
    pub time: Option<Spanned<String>>,
    /// Which of its rows are conversions.
    #[serde(rename = "where")]
    pub condition: Option<Spanned<String>>,
    /// What belongs together: `account_id` where both tables call it so, or `visitor_id = customer_id` (here = there).
    pub entity: Spanned<String>,
    /// How long after the base event a conversion still counts, such as `90 days` (the last day included) or `24 hours`.
    pub within: Spanned<String>,
    /// What is computed over the conversions of a base event, by name: SQL over aggregates.
    #[serde(default)]
    pub columns: Pairs<Spanned<String>>,
}

/// The period in which a conversion counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CountOn {
    /// That of its base event.
    Base,
    /// Its own.
    Conversion,
}

/// One step of a funnel.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepSpec {
    /// What the step is called; the member of the dimension `step`.
    pub step: Spanned<String>,
    /// Which rows have come that far. Without it every row has.
    #[serde(rename = "where")]
    pub condition: Option<Spanned<String>>,
}

/// Entities by the period in which they first appeared, and what became of them at each age.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CohortSpec {
    /// The length of an age: day, week, month, quarter or year. It is the only grain of the KPI.
    pub by: Spanned<String>,
    /// The highest age; 0 is the period of the first appearance.
    pub ages: Spanned<u64>,
}

/// A part of a composite: its weight, or a mapping.
#[derive(Debug, Clone)]
pub struct PartSpec {
    pub weight: f64,
    /// The least value that the KPI can have, such as -100 for a net promoter score. Default: 0.
    pub floor: Option<f64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LongPart {
    /// How much the part counts, against the other parts.
    weight: f64,
    /// The least value that the KPI can have, such as -100 for a net promoter score. Default: 0.
    floor: Option<f64>,
}

impl<'de> Deserialize<'de> for PartSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PartVisitor;
        impl<'de> Visitor<'de> for PartVisitor {
            type Value = PartSpec;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a weight, or a mapping with `weight`")
            }
            fn visit_f64<E: de::Error>(self, weight: f64) -> Result<Self::Value, E> {
                Ok(PartSpec { weight, floor: None })
            }
            fn visit_i64<E: de::Error>(self, weight: i64) -> Result<Self::Value, E> {
                self.visit_f64(weight as f64)
            }
            fn visit_u64<E: de::Error>(self, weight: u64) -> Result<Self::Value, E> {
                self.visit_f64(weight as f64)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let LongPart { weight, floor } = LongPart::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(PartSpec { weight, floor })
            }
        }
        deserializer.deserialize_any(PartVisitor)
    }
}

impl JsonSchema for PartSpec {
    fn schema_name() -> Cow<'static, str> {
        "PartSpec".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<LongPart>();
        json_schema!({ "oneOf": [{ "type": "number" }, long] })
    }
}

/// Another KPI under a name of its own, narrowed to some of its rows.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// The KPI.
    pub kpi: Spanned<String>,
    /// Which of its rows count, beside its own condition.
    #[serde(rename = "where")]
    pub condition: Option<Spanned<String>>,
}

/// What others reach, to compare with.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BenchmarkSpec {
    /// What they reach, in the unit of the KPI.
    pub value: f64,
    /// Where the number comes from, so that everybody can look it up.
    pub source: Spanned<String>,
    /// The day from which the number is.
    pub as_of: Option<Spanned<String>>,
    /// Whom it is about, such as `software` or `retail`.
    pub sector: Option<Spanned<String>>,
}

/// What kind of target it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetForm {
    /// Not less than this.
    Floor,
    /// Not more than this.
    Ceiling,
    /// Between two values.
    Band,
    /// An amount to reach in the period.
    Plan,
    /// So much, coming from an earlier value.
    Growth,
}

impl TargetForm {
    /// The word of the definitions.
    pub fn name(self) -> &'static str {
        match self {
            TargetForm::Floor => "floor",
            TargetForm::Ceiling => "ceiling",
            TargetForm::Band => "band",
            TargetForm::Plan => "plan",
            TargetForm::Growth => "growth",
        }
    }
}

/// What is wanted of a KPI: `target: 0.25`, or a mapping.
#[derive(Debug, Clone, Default)]
pub struct TargetSpec {
    /// The value to reach.
    pub value: Option<f64>,
    /// The KPI whose value is to be reached.
    pub kpi: Option<Spanned<String>>,
    /// The table that holds the values to reach.
    pub table: Option<Spanned<String>>,
    pub warn: Option<Spanned<f64>>,
    pub critical: Option<Spanned<f64>>,
    /// The band of `better: within`, low and high.
    pub between: Option<Spanned<Vec<f64>>>,
    pub form: Option<Spanned<TargetForm>>,
    /// The value from which it sets out.
    pub baseline: Option<Spanned<f64>>,
    /// Who answers for reaching it.
    pub owner: Option<Spanned<String>>,
    pub from: Option<Spanned<String>>,
    pub until: Option<Spanned<String>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LongTarget {
    /// The value to reach.
    value: Option<f64>,
    /// Another KPI, whose value in the same period and for the same member is the value to reach.
    kpi: Option<Spanned<String>>,
    /// A table of values to reach: its `time` places them, `value` holds them, columns named like dimensions tell for whom.
    table: Option<Spanned<String>>,
    /// A missed target is at risk as long as it stays on this side of `warn`, and off track beyond. With `kpi` and `table`
    /// a share of the target, such as 0.9.
    warn: Option<Spanned<f64>>,
    /// Beyond this it is critical.
    critical: Option<Spanned<f64>>,
    /// The band of `better: within`, low and high.
    between: Option<Spanned<Vec<f64>>>,
    /// What kind of target it is. Default: what `better` says, a floor, a ceiling or a band.
    form: Option<Spanned<TargetForm>>,
    /// The value when the target was set, from which it sets out.
    baseline: Option<Spanned<f64>>,
    /// Who answers for reaching it.
    owner: Option<Spanned<String>>,
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
                let LongTarget { value, kpi, table, warn, critical, between, form, baseline, owner, from, until } =
                    LongTarget::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(TargetSpec { value, kpi, table, warn, critical, between, form, baseline, owner, from, until })
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
