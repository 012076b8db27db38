//! The advisory lease, `_kpi/lease.json`: who is at work on this folder.
//!
//! It keeps a second run from computing what the first is about to publish. Correctness never rests on it: two runs
//! that both believe to hold it meet at the log, where only one can create a version.

use std::collections::HashSet;
use std::process;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::files::{Created, Files};
use super::unique;
use crate::error::{Error, ErrorKind, Result};
use crate::machine::{host, is_known_dead};

const PATH: &str = "_kpi/lease.json";

/// How long a lease is good for after its last sign of life.
const LIFETIME: Duration = Duration::from_secs(120);

/// How often a run shows that it lives. Several of these must fit into [`LIFETIME`].
const HEARTBEAT: Duration = Duration::from_secs(20);

/// The runs of this process, so that a run which was dropped without a word does not keep out its successors.
static LIVE_RUNS: Mutex<Option<HashSet<String>>> = Mutex::new(None);

/// Who runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub run_id: String,
    pub pid: u32,
    pub host: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct LeaseFile {
    holder: Holder,
    heartbeat_at: String,
    expires_at: String,
}

/// A run's entry in the list of the living, and its lease if it took one. Dropping it ends both, the lease by expiry of
/// its holder.
#[derive(Debug)]
pub(super) struct Lease {
    holder: Holder,
    held: bool,
    beaten_at: Instant,
}

impl Lease {
    /// A run that does without; it is only counted among the living.
    pub(super) fn none(holder: Holder) -> Self {
        live_runs().get_or_insert_default().insert(holder.run_id.clone());
        Lease { holder, held: false, beaten_at: Instant::now() }
    }

    /// Takes the lease, or says who holds it.
    pub(super) async fn take(files: &dyn Files, holder: Holder) -> Result<Self> {
        let mut lease = Lease::none(holder);
        refuse_if_held(files).await?;
        match files.create(PATH, lease.json()?.into()).await? {
            Created::Done => {}
            Created::Taken => {
                // Expired, or taken since we looked.
                refuse_if_held(files).await?;
                files.replace(PATH, lease.json()?.into()).await?;
            }
        }
        lease.held = true;
        Ok(lease)
    }

    /// Shows that the run lives, if the last time is long enough ago. A lease that another run took over is let go.
    pub(super) async fn heartbeat(&mut self, files: &dyn Files) {
        if !self.held || self.beaten_at.elapsed() < HEARTBEAT {
            return;
        }
        self.beaten_at = Instant::now();
        // Troubles here are not worth a run: at worst another one starts beside it.
        if self.is_ours(files).await {
            if let Ok(json) = self.json() {
                let _ = files.replace(PATH, json.into()).await;
            }
        } else {
            self.held = false;
        }
    }

    /// Gives the lease back, unless another run has it by now.
    pub(super) async fn release(mut self, files: &dyn Files) {
        if self.held && self.is_ours(files).await {
            let _ = files.delete(PATH).await;
        }
        self.held = false;
    }

    async fn is_ours(&self, files: &dyn Files) -> bool {
        match read(files).await {
            Ok(Some(lease)) => lease.holder == self.holder,
            Ok(None) => false,
            // Not an answer, so no reason to give up.
            Err(_) => true,
        }
    }

    fn json(&self) -> Result<Vec<u8>> {
        let now = Utc::now();
        let lease = LeaseFile {
            holder: self.holder.clone(),
            heartbeat_at: unique::timestamp(now),
            expires_at: unique::timestamp(now + LIFETIME),
        };
        serde_json::to_vec_pretty(&lease)
            .map_err(|source| Error::internal("the lease cannot be written as JSON").with_source(source))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        live_runs().get_or_insert_default().remove(&self.holder.run_id);
    }
}

impl Holder {
    /// This process, on this host.
    pub(super) fn this_process(run_id: &str) -> Self {
        Holder { run_id: run_id.to_string(), pid: process::id(), host: host() }
    }
}

/// Who holds the lease and lives.
pub(super) async fn holder(files: &dyn Files) -> Result<Option<Holder>> {
    Ok(read(files).await?.filter(|lease| is_alive(lease, Utc::now())).map(|lease| lease.holder))
}

async fn refuse_if_held(files: &dyn Files) -> Result<()> {
    let Some(lease) = read(files).await?.filter(|lease| is_alive(lease, Utc::now())) else { return Ok(()) };
    let Holder { run_id, pid, host } = &lease.holder;
    Err(Error::new(ErrorKind::Conflict, format!("run `{run_id}` is at work on this output folder"))
        .with_context("holder", format!("process {pid} on `{host}`"))
        .with_context("last sign of life", &lease.heartbeat_at)
        .with_hint(format!(
            "let it end and run again, or wait for it with `--wait`; if it is gone, its lease ends at {}, or delete `{}`",
            lease.expires_at,
            files.locate(PATH)
        )))
}

/// The lease as far as it can be understood; a torn one counts as none.
async fn read(files: &dyn Files) -> Result<Option<LeaseFile>> {
    Ok(files.read(PATH).await?.and_then(|json| serde_json::from_slice(&json).ok()))
}

fn is_alive(lease: &LeaseFile, now: DateTime<Utc>) -> bool {
    let unexpired = DateTime::parse_from_rfc3339(&lease.expires_at).is_ok_and(|expires| expires > now);
    unexpired && !has_died(&lease.holder)
}

/// On our own host we can look, so that a crashed run is followed at once and not after its lease ran out.
fn has_died(holder: &Holder) -> bool {
    if holder.host != host() {
        return false;
    }
    if holder.pid == process::id() {
        return !live_runs().get_or_insert_default().contains(&holder.run_id);
    }
    // Where processes cannot be seen the lease has to expire.
    is_known_dead(holder.pid)
}

fn live_runs() -> MutexGuard<'static, Option<HashSet<String>>> {
    // A set of names is whole even after a panic elsewhere.
    LIVE_RUNS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(super) fn foreign_lease(expires_at: DateTime<Utc>) -> Vec<u8> {
    let lease = LeaseFile {
        holder: Holder { run_id: "20200101T000000000Z-1".into(), pid: 7, host: "elsewhere.example".into() },
        heartbeat_at: "2020-01-01T00:00:00.000Z".into(),
        expires_at: unique::timestamp(expires_at),
    };
    serde_json::to_vec(&lease).expect("a lease is valid JSON")
}
