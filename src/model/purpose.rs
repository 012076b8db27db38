//! What KPIs are for and what they are held against: objectives, and what others reach.
//!
//! None of it has any influence on a value or on how one is judged.

use std::collections::BTreeMap;

use chrono::NaiveDate;

/// Something that the company wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objective {
    pub name: String,
    pub label: String,
    pub description: Option<String>,
    pub owner: Option<String>,
    /// The larger objective that it is a part of. There are no circles.
    pub under: Option<String>,
}

/// The name of an objective and of all that it is a part of.
pub fn with_larger<'a>(objectives: &'a BTreeMap<String, Objective>, name: &'a str) -> Vec<&'a str> {
    let mut names = vec![name];
    // There are no circles.
    while let Some(under) = names.last().and_then(|name| objectives.get(*name)?.under.as_deref()) {
        names.push(under);
    }
    names
}

/// What others reach.
#[derive(Debug, Clone, PartialEq)]
pub struct Benchmark {
    pub value: f64,
    pub source: String,
    pub as_of: Option<NaiveDate>,
    /// Whom it is about.
    pub sector: Option<String>,
}
