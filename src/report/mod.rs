//! What people and their tools see of results: the long table over all KPIs, the scorecard, the glossary, and numbers as people read
//! them. Pure; nothing is read, written or printed here.

mod benchmark;
mod difference;
mod glossary;
mod number;
mod scorecard;
mod values;

pub use benchmark::format_benchmark;
pub use difference::{Difference, ValueDifference, difference, is_same_value};
pub use glossary::{glossary, glossary_of, shape_word, short_glossary};
pub use number::{format_change, format_number, format_period};
pub use scorecard::{Headline, Scorecard, ScorecardRow, headline, scorecard_row};
pub use values::{KPI_VALUES, kpi_values, kpi_values_schema};

use datafusion::arrow::error::ArrowError;

use crate::error::Error;

fn internal(error: ArrowError) -> Error {
    Error::internal("rows of a result do not fit together").with_source(error)
}
