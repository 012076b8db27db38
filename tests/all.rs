//! All integration tests as one program, so that the engine is linked once.

mod cases;
mod diagnostics;
mod laws;
mod support;
