//! All tests that look at the project from outside, in one program so that it is linked once.

mod by_hand;
mod cases;
mod catalogue;
mod cli;
mod diagnostics;
mod given;
mod increments;
mod laws;
mod layers;
mod mappings;
mod memory;
mod partial;
mod queries;
mod readme;
mod robustness;
mod shapes;
mod stores;
mod support;
#[cfg(feature = "otlp")]
mod telemetry;
#[cfg(unix)]
mod terminal;
