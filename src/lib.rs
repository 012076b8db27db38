//! A SQL-centric KPI engine.
pub mod catalog;
pub mod compile;
pub mod diagnostic;
pub mod error;
pub mod functions;
pub mod load;
pub mod materialize;
pub mod model;
pub mod session;
pub mod spec;
pub mod store;
pub mod time;
pub mod validate;
