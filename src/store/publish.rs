//! Plain copies for readers that open a path: `published/<kpi>.parquet`, one file per KPI, each replaced as a whole.
//!
//! The copies follow the log and never lead it. `published/_version` says which version they show; whoever finds them
//! behind brings them up to date, so that a run which died after its commit is repaired by the next. Several files
//! cannot be replaced at once: readers that need all KPIs of one version read the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use serde::{Deserialize, Serialize};

use super::files::{Bytes, Files};
use super::record::{Entry, FORMAT_VERSION, LogRecord};
use super::{failpoint, log, stage};
use crate::error::{Error, Result};
use crate::materialize::parquet;

const FOLDER: &str = "published";
const MARKER: &str = "published/_version";
const LOCK: &str = "_kpi/publish.lock";

/// How often to follow commits that happen meanwhile; after that the committers are left to publish themselves.
const ROUNDS: usize = 8;

/// Which copies are in place.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Marker {
    format_version: u32,
    version: u64,
    /// The content of each copy, by KPI. A copy that is about to change is taken out first.
    copies: BTreeMap<String, String>,
}

/// Brings the plain copies to the newest version. Returns whether there was anything to do.
pub(super) async fn follow_head(files: &dyn Files) -> Result<bool> {
    let Some(seen) = log::head(files).await? else { return Ok(false) };
    if is_in_place(files, &seen).await? {
        return Ok(false);
    }
    // Two publishers side by side could leave an old copy above a new one. Where there are no locks, the slower one looks
    // again afterwards and repairs what it overtook; only if it dies before that, an old copy stays until the next commit
    // of that KPI. The log is right all the same.
    let _lock = files.lock(LOCK).await?;
    // Looked up again: while this publisher waited, another may have published a newer version, and what that brought must
    // not be taken for surplus.
    let mut head = log::head(files).await?.unwrap_or(seen);
    for _ in 0..ROUNDS {
        publish(files, &head).await?;
        match log::head(files).await? {
            Some(newer) if newer.version != head.version => head = newer,
            _ if is_in_place(files, &head).await? => break,
            _ => {}
        }
    }
    Ok(true)
}

async fn is_in_place(files: &dyn Files, head: &LogRecord) -> Result<bool> {
    let marker = read_marker(files).await?;
    Ok(marker.version == head.version && stale_copies(files, &marker, head).await?.is_empty())
}

async fn publish(files: &dyn Files, head: &LogRecord) -> Result<()> {
    let mut marker = read_marker(files).await?;
    let stale = stale_copies(files, &marker, head).await?;
    let surplus: Vec<String> = marker.copies.keys().filter(|kpi| !head.kpis.contains_key(*kpi)).cloned().collect();

    // From here on the marker promises nothing about the copies that change, whatever becomes of us. Those that have to
    // go stay in it until they are gone.
    marker.copies.retain(|kpi, _| !stale.contains_key(kpi.as_str()));
    write_marker(files, &marker).await?;

    for (index, (kpi, entry)) in stale.iter().enumerate() {
        if index == 1 {
            failpoint::hit("between_publish");
        }
        let copy = copy_of(files, entry).await?;
        files.replace(&copy_path(kpi), copy).await?;
    }
    for kpi in &surplus {
        files.delete(&copy_path(kpi)).await?;
    }

    marker.format_version = FORMAT_VERSION;
    marker.version = head.version;
    marker.copies = head.kpis.iter().map(|(kpi, entry)| (kpi.clone(), content_of(entry))).collect();
    write_marker(files, &marker).await
}

/// The KPIs whose copies are not known to show this version.
async fn stale_copies<'a>(
    files: &dyn Files,
    marker: &Marker,
    head: &'a LogRecord,
) -> Result<BTreeMap<&'a str, &'a Entry>> {
    let sizes: BTreeMap<String, u64> =
        files.list(FOLDER).await?.into_iter().map(|file| (file.name, file.bytes)).collect();
    let is_current = |kpi: &str, entry: &Entry| {
        // The size notices copies that somebody deleted or cut short.
        let size = sizes.get(&format!("{kpi}.parquet"));
        let is_whole = match entry.files.as_slice() {
            [file] => size == Some(&file.bytes),
            _ => size.is_some(),
        };
        is_whole && marker.copies.get(kpi) == Some(&content_of(entry))
    };
    let stale = head.kpis.iter().filter(|(kpi, entry)| !is_current(kpi, entry));
    Ok(stale.map(|(kpi, entry)| (kpi.as_str(), entry)).collect())
}

async fn copy_of(files: &dyn Files, entry: &Entry) -> Result<Bytes> {
    if let [file] = entry.files.as_slice() {
        return stage::read_checked(files, file).await;
    }
    let batches = stage::read(files, entry).await?;
    let schema = batches.first().map_or_else(|| Arc::new(Schema::empty()), |batch| batch.schema());
    Ok(parquet::encode(&schema, &batches)?.into())
}

/// A name for an entry's content.
fn content_of(entry: &Entry) -> String {
    entry.files.iter().map(|file| file.blake3.as_str()).collect::<Vec<_>>().join("+")
}

/// The plain copy of a file that belongs to a KPI.
pub(super) fn copy_of_path(path: &str) -> Option<String> {
    let (kpi, _) = path.strip_prefix("data/")?.split_once('/')?;
    Some(copy_path(kpi))
}

fn copy_path(kpi: &str) -> String {
    format!("{FOLDER}/{kpi}.parquet")
}

async fn read_marker(files: &dyn Files) -> Result<Marker> {
    // A marker that is absent or torn promises nothing, so that everything is published again.
    Ok(files.read(MARKER).await?.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default())
}

async fn write_marker(files: &dyn Files, marker: &Marker) -> Result<()> {
    let json = serde_json::to_vec_pretty(marker)
        .map_err(|source| Error::internal("the marker cannot be written as JSON").with_source(source))?;
    files.replace(MARKER, json.into()).await
}
