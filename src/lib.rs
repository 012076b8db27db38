//! A SQL-centric KPI engine.
pub mod error;
pub mod diagnostic;
pub mod time;
pub mod spec;
pub mod load;
pub mod functions;
pub mod session;
pub mod catalog;
pub mod model;
pub mod validate;
pub mod compile;
pub mod store;
pub mod materialize;
