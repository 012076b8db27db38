//! A SQL-centric KPI engine.
pub mod catalog;
pub mod diagnostic;
pub mod error;
pub mod functions;
pub mod model;
pub mod session;
pub mod spec;
pub mod time;
pub mod validate;
