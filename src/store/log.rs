//! The commit log: `_kpi/log/00000000000000000042.json`, one record per version, and the hint to the newest.
//!
//! Reading the log takes no lock and trusts nothing but the records: `_kpi/latest` may be absent, stale, torn or wrong,
//! and only saves probing. Deciding what to do when somebody else was first is in `commit.rs`.

use super::files::{Bytes, Created, Files};
use super::record::LogRecord;
use super::unique;
use crate::error::{Error, Result};

const LOG: &str = "_kpi/log";
const LATEST: &str = "_kpi/latest";

/// How often a commit whose answer was lost is tried again.
const ATTEMPTS: u32 = 5;

/// The newest version, whole, or `None` before the first commit.
pub(super) async fn head(files: &dyn Files) -> Result<Option<LogRecord>> {
    let mut head = match hinted(files).await? {
        Some(record) => Some(record),
        None => listed(files).await?,
    };
    // The hint is written after the commit, and a listing is a look into the past: go on until there is nothing.
    loop {
        let next = head.as_ref().map_or(1, |record| record.version + 1);
        match record(files, next).await? {
            Some(newer) => head = Some(newer),
            None => return Ok(head),
        }
    }
}

/// One version, or `None` if it was never committed or is no longer kept.
pub(super) async fn record(files: &dyn Files, version: u64) -> Result<Option<LogRecord>> {
    let path = record_path(version);
    let Some(json) = files.read(&path).await? else { return Ok(None) };
    let location = files.locate(&path);
    let record = LogRecord::from_json(&json, &location)?;
    if record.version != version {
        return Err(Error::storage(format!("`{location}` holds version {}", record.version))
            .with_hint("log records must not be copied or renamed; restore the folder from a backup"));
    }
    Ok(Some(record))
}

/// Whose record a version turned out to be.
pub(super) enum Owner {
    Mine,
    Theirs(Box<LogRecord>),
}

/// Creates a record, and finds out whether it is there when the answer says anything but yes.
///
/// An error means that nobody knows: the record may still appear.
pub(super) async fn create(files: &dyn Files, mine: &LogRecord) -> Result<Owner> {
    let path = record_path(mine.version);
    let json = Bytes::from(mine.to_json()?);
    let mut trouble = None;
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            unique::pause(attempt).await;
        }
        match files.create(&path, json.clone()).await {
            Ok(Created::Done) => return Ok(Owner::Mine),
            // Taken, perhaps by our own attempt of which we did not hear.
            Ok(Created::Taken) => {}
            Err(error) => trouble = Some(error),
        }
        match record(files, mine.version).await {
            Ok(Some(there)) if there.commit_id == mine.commit_id => return Ok(Owner::Mine),
            Ok(Some(there)) => return Ok(Owner::Theirs(Box::new(there))),
            Ok(None) => {}
            Err(error) => trouble = Some(error),
        }
    }
    let error = Error::storage(format!("it is not known whether `{}` was written", files.locate(&path)))
        .with_hint("run again once the storage answers; a commit that did arrive is found, and nothing is doubled");
    Err(match trouble {
        Some(cause) => error.with_source(cause),
        None => error,
    })
}

/// Leaves the hint for the next reader. It is only a hint, so that failing to write it is no failure.
pub(super) async fn leave_hint(files: &dyn Files, version: u64) {
    let _ = files.replace(LATEST, format!("{version}\n").into_bytes().into()).await;
}

async fn hinted(files: &dyn Files) -> Result<Option<LogRecord>> {
    // Whatever is wrong with the hint, the listing knows better; if that fails too, it says why.
    let Ok(Some(hint)) = files.read(LATEST).await else { return Ok(None) };
    match std::str::from_utf8(&hint).ok().and_then(|text| text.trim().parse().ok()) {
        Some(version) => record(files, version).await,
        None => Ok(None),
    }
}

/// The numbers of all versions that have a record, the newest first.
pub(super) async fn versions(files: &dyn Files) -> Result<Vec<u64>> {
    let mut versions: Vec<u64> = files.list(LOG).await?.iter().filter_map(|file| version_of(&file.name)).collect();
    versions.sort_unstable_by(|one, other| other.cmp(one));
    Ok(versions)
}

async fn listed(files: &dyn Files) -> Result<Option<LogRecord>> {
    match versions(files).await?.first().copied() {
        Some(version) => record(files, version).await,
        None => Ok(None),
    }
}

pub(super) fn record_path(version: u64) -> String {
    // Twenty digits hold every version, so that names sort as numbers do.
    format!("{LOG}/{version:020}.json")
}

/// Temporary files and strangers have no version.
pub(super) fn version_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".json")?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}
