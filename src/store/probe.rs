//! Whether results could be published to a place now: it is reached, written, read and cleared, and keeps two writers apart.
//!
//! It leaves nothing behind, and looks at no result.

use std::time::{Duration, SystemTime};

use super::files::{Created, Files, ignores_conditions};
use super::{log, unique};
use crate::error::{Error, Result};

/// What a trial has shown.
#[derive(Debug)]
pub struct Probe {
    /// The newest version, if there is one.
    pub version: Option<u64>,
    /// How far the clock of the place is from that of this machine, where it has one of its own.
    pub clock_apart: Option<Duration>,
}

/// Leases and ages are compared by the clocks of several machines.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(30);

/// # Errors
/// `Storage` with the first thing that a run would fail at.
pub(super) async fn probe(files: &dyn Files) -> Result<Probe> {
    let head = log::head(files).await?;
    let path = format!("_kpi/probe-{}.json", unique::token());
    let tried = try_out(files, &path).await;
    // What cannot be deleted is named by nothing; that it cannot is worth knowing.
    let deleted = files.delete(&path).await;
    let clock_apart = tried?;
    deleted?;
    Ok(Probe { version: head.map(|head| head.version), clock_apart })
}

async fn try_out(files: &dyn Files, path: &str) -> Result<Option<Duration>> {
    const CONTENT: &[u8] = b"{}\n";
    let now = SystemTime::now();
    files.create(path, CONTENT.into()).await?;
    if files.create(path, CONTENT.into()).await? == Created::Done {
        return Err(ignores_conditions());
    }
    if files.read(path).await?.as_deref() != Some(CONTENT) {
        return Err(Error::storage(format!("`{}` is not what was written", files.locate(path)))
            .with_hint("a cache or another writer stands between; name the store itself"));
    }
    if files.traits().extends_cheaply {
        // A disk has the clock of its machine.
        return Ok(None);
    }
    let listed = files.list_below("_kpi").await?;
    let modified = listed.iter().find(|file| file.name == path).and_then(|file| file.modified);
    let apart = |modified: SystemTime| match modified.duration_since(now) {
        Ok(ahead) => ahead,
        Err(behind) => behind.duration(),
    };
    Ok(modified.map(apart))
}
