//! A SQL-centric KPI engine.
pub mod diagnostic;
pub mod error;
pub mod generate;
pub mod spec;
