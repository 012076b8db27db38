//! A SQL-centric KPI engine.
pub mod diagnostic;
pub mod error;
pub mod load;
pub mod spec;
