//! What people and their tools see of results: rows in a stable order and shape, the long table over all KPIs, and the
//! scorecard. Pure; nothing is read, written or printed here.

mod number;
mod rows;
mod scorecard;
mod values;

pub use number::{format_change, format_number, format_period};
pub use rows::{published_schema, sorted, with_schema};
pub use scorecard::{Scorecard, ScorecardRow, scorecard};
pub use values::{KPI_VALUES, kpi_values, kpi_values_schema};
