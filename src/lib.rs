//! A SQL-centric KPI engine.
pub mod diagnostic;
pub mod error;
pub mod materialize;
pub mod spec;
pub mod store;
