//! What breaks a run from outside: processes that are killed at any moment, many that publish at once, and files whose bytes
//! nobody of the project wrote. Nothing is lost, nothing is there twice, and nothing panics.
//!
//! `KPI_ROUNDS=50` makes each of these tests so many times as long; without it they are as long as a change needs.

mod foreign_bytes;
mod killed;
mod racing;

/// How often a test does what it does.
fn rounds(usual: u64) -> u64 {
    let times = std::env::var("KPI_ROUNDS").ok().and_then(|times| times.parse::<u64>().ok());
    usual * times.unwrap_or(1).max(1)
}
