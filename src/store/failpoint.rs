//! Named points of a run at which a test can let the process die.
//!
//! `KPI_FAILPOINT=after_commit:abort` ends the process at that point as a power cut would: nothing is flushed, nothing
//! cleaned up. It is part of every build, because the tests that matter kill the very program that people run; unset,
//! it costs one look at the environment a few times per run. It never changes what a run computes.

use std::env;
use std::process;

/// Dies here if the environment asks for it.
pub(super) fn hit(point: &str) {
    let Ok(wanted) = env::var("KPI_FAILPOINT") else { return };
    if wanted.strip_suffix(":abort") == Some(point) {
        process::abort();
    }
}
