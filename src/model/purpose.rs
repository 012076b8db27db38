//! What KPIs are for and what they are held against: objectives, and what others reach.
//!
//! None of it has any influence on a value or on how one is judged.

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

/// What others reach.
#[derive(Debug, Clone, PartialEq)]
pub struct Benchmark {
    pub value: f64,
    pub source: String,
    pub as_of: Option<NaiveDate>,
    /// Whom it is about.
    pub sector: Option<String>,
}
