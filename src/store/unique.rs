//! Names that no other run has, the time of day as records write it, and pauses of random length.
//!
//! The randomness is the operating system's, by way of the seeds of hash maps; it keeps names apart and is no secret.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

/// A run id: the time first, so that sorting by name is sorting by age.
pub(super) fn run_id(now: DateTime<Utc>) -> String {
    format!("{}-{:016x}", now.format("%Y%m%dT%H%M%S%3fZ"), random())
}

/// Sixteen random bytes in hexadecimal digits.
pub(super) fn token() -> String {
    format!("{:016x}{:016x}", random(), random())
}

/// A moment as records write it.
pub(super) fn timestamp(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Waits a little longer with each attempt, and never in step with others that wait for the same thing.
pub(super) async fn pause(attempt: u32) {
    let longest = 10u64 << attempt.min(6);
    tokio::time::sleep(Duration::from_millis(longest / 2 + random() % (longest / 2))).await;
}

fn random() -> u64 {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    RandomState::new().hash_one((process::id(), count))
}
