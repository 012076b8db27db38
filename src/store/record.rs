//! The log record as it lies on disk: one JSON document per version, each a whole picture of all KPIs.
//!
//! A record names everything that a reader needs, so that reading one version never touches another. Fields may be
//! added within a format version; a change that an older program would misread raises [`FORMAT_VERSION`], and programs
//! refuse versions that they do not know rather than guess.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The version of the wire format that this program writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// One committed version of all results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    pub format_version: u32,
    /// Counts up by one per commit, from 1.
    pub version: u64,
    /// Random. It tells a writer whose answer was lost whether this record is its own.
    pub commit_id: String,
    pub run_id: String,
    /// The version that this one was built on.
    pub parent: Option<u64>,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// The version of the program that wrote the record.
    pub program: String,
    /// The moment that the run counted from, in the words of the caller.
    pub as_of: Option<String>,
    /// All KPIs of this version, those of the run and those carried over from the parent.
    pub kpis: BTreeMap<String, Entry>,
    /// KPIs that the parent had and this version does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    /// What the run read. Entries that were carried over came from the inputs of the version that committed them.
    pub inputs: Vec<Input>,
    /// The version whose results this one brings back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restores: Option<u64>,
}

/// The result of one KPI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub files: Vec<DataFile>,
    /// A digest of the definition and all that it rests on.
    pub fingerprint: String,
    /// A digest of the inputs that the definition read.
    pub input_digest: String,
    pub as_of: Option<String>,
    pub rows: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audit: Vec<Audit>,
    /// What its writer shows of it without reading its rows, in the writer's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headline: Option<serde_json::Value>,
    /// What its writer notes to compute the next result from this one, in the writer's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<serde_json::Value>,
    /// The version that brought this result.
    pub committed_in: u64,
}

impl Entry {
    /// Whether both were computed from the same definition, inputs and moment, so that either may stand for the other.
    pub fn is_same_work_as(&self, other: &Entry) -> bool {
        self.fingerprint == other.fingerprint && self.input_digest == other.input_digest && self.as_of == other.as_of
    }
}

/// One immutable file of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// Below the output folder, with `/` between its parts.
    pub path: String,
    pub bytes: u64,
    pub rows: u64,
    pub blake3: String,
    /// What each group of its rows was made of, of a table over other results.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

/// What one audit of a result found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    pub name: String,
    pub status: AuditStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditStatus {
    Passed,
    Warned,
    Failed,
    Skipped,
}

/// One file that a run read, pinned before it started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    pub table: String,
    pub path: String,
    pub bytes: u64,
    /// RFC 3339, for files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<String>,
    /// For objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The object's version, in buckets that keep them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where the format knows without reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// What the file covers, in the words of its reader, by what it was read for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub covers: BTreeMap<String, serde_json::Value>,
}

impl LogRecord {
    pub(super) fn to_json(&self) -> Result<Vec<u8>> {
        // Indented, because people read it when something went wrong.
        let mut json = serde_json::to_vec_pretty(self)
            .map_err(|source| Error::internal("a log record cannot be written as JSON").with_source(source))?;
        json.push(b'\n');
        let checksum = blake3::hash(&json);
        let line = format!("{CHECKSUM}{checksum}\",\n");
        json.splice(OPENING.len()..OPENING.len(), line.into_bytes());
        Ok(json)
    }

    /// Reads a record; `location` is for messages.
    pub(super) fn from_json(json: &[u8], location: &str) -> Result<LogRecord> {
        refuse_newer_format(json, location)?;
        if !fits_its_checksum(json) {
            return Err(damaged(location).with_context("reason", "its checksum does not fit"));
        }
        serde_json::from_slice(json).map_err(|source| damaged(location).with_source(source))
    }
}

const OPENING: &str = "{\n";
const CHECKSUM: &str = "  \"checksum\": \"";

/// Whether a record names a checksum; those of the first versions of kpi do not.
fn has_checksum(json: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Checked {
        checksum: Option<serde_json::Value>,
    }
    serde_json::from_slice::<Checked>(json).is_ok_and(|checked| checked.checksum.is_some())
}

/// Whether a record is as it was written: its first line has a digest of all the others. Data files have theirs in the
/// record, and the record has nobody else who could tell.
fn fits_its_checksum(json: &[u8]) -> bool {
    let Some(line) = json.strip_prefix(OPENING.as_bytes()).and_then(|rest| rest.strip_prefix(CHECKSUM.as_bytes()))
    else {
        // Either there was none yet when it was written, or somebody wrote it anew.
        return !has_checksum(json);
    };
    let Some(end) = line.iter().position(|byte| *byte == b'\n') else { return false };
    let (checksum, rest) = line.split_at(end + 1);
    let mut hasher = blake3::Hasher::new();
    hasher.update(OPENING.as_bytes()).update(rest);
    checksum == format!("{}\",\n", hasher.finalize()).as_bytes()
}

/// Looks at the format version before anything else is expected of the document.
pub(super) fn refuse_newer_format(json: &[u8], location: &str) -> Result<()> {
    #[derive(Deserialize)]
    struct Versioned {
        format_version: u32,
    }
    let written: Versioned = serde_json::from_slice(json).map_err(|source| damaged(location).with_source(source))?;
    if written.format_version > FORMAT_VERSION {
        return Err(Error::storage(format!(
            "`{location}` has format version {}, this program knows up to {FORMAT_VERSION}",
            written.format_version
        ))
        .with_hint("use a newer `kpi` for this output folder"));
    }
    Ok(())
}

fn damaged(location: &str) -> Error {
    Error::storage(format!("`{location}` is damaged"))
        .with_hint("restore it from a backup, or choose another output folder and compute again")
}
