//! The `objective:` document: something that the company wants, which KPIs serve.

use schemars::JsonSchema;
use serde::Deserialize;

use super::project::Override;
use super::spanned::Spanned;

/// What the company wants. KPIs name the objective that they serve.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectiveSpec {
    /// The objective's name in snake_case.
    pub objective: Spanned<String>,
    /// Where the included catalogue has an objective of this name: `merge` changes the keys written here, `replace` all.
    #[serde(rename = "override")]
    pub overrides: Option<Spanned<Override>>,
    /// The name that people see.
    pub label: Option<Spanned<String>>,
    /// What is wanted, in one or two plain sentences.
    pub description: Option<Spanned<String>>,
    /// Who answers for it.
    pub owner: Option<Spanned<String>>,
    /// The larger objective that it is a part of.
    pub under: Option<Spanned<String>>,
}
