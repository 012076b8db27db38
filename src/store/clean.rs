//! Clearing away what no version needs: results that no record names, the traces of their runs, and, if asked, versions
//! behind the newest ones.
//!
//! It looks first and deletes afterwards, oldest records first, so that whoever is interrupted leaves a log without gaps. A
//! file younger than a day may belong to a run at work and is never touched.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use super::files::{Files, Listed};
use super::log;
use super::record::LogRecord;
use crate::error::{Error, Result};

/// What may go.
#[derive(Debug, Clone, Copy)]
pub struct CleanOptions {
    /// How many of the newest versions stay; `None` keeps all.
    pub keep: Option<u64>,
    /// How old a file must be; at least [`YOUNGEST`].
    pub older_than: Duration,
}

/// No file younger than this is deleted: its run may be at work.
pub const YOUNGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// How old files must be where nothing else is said.
pub const USUAL_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

impl Default for CleanOptions {
    fn default() -> Self {
        CleanOptions { keep: None, older_than: USUAL_AGE }
    }
}

/// What can go, or what went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Versions that nobody can read any more.
    pub versions: Vec<u64>,
    /// Files below the output folder, with their sizes; the records of those versions are among them.
    pub files: Vec<(String, u64)>,
}

impl Cleaned {
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, bytes)| bytes).sum()
    }
}

/// What may be deleted, in the order in which it has to be.
pub(super) async fn find(files: &dyn Files, options: &CleanOptions, now: SystemTime) -> Result<Cleaned> {
    if options.older_than < YOUNGEST {
        return Err(Error::config("files younger than a day may belong to a run at work")
            .with_hint("name an age of at least 24 hours"));
    }
    if options.keep == Some(0) {
        return Err(Error::config("the newest version always stays").with_hint("keep at least 1 version"));
    }
    // Before the head is read: what a run writes from now on is too young.
    let is_old = |file: &Listed| {
        let age = file.modified.and_then(|modified| now.duration_since(modified).ok());
        age.is_some_and(|age| age >= options.older_than)
    };
    let results = files.list_below("data").await?;
    let traces = files.list_below("_kpi").await?;
    let mut cleaned = Cleaned::default();
    let Some(head) = log::head(files).await? else {
        // Runs may have failed before a first commit.
        cleaned.files.extend(results.into_iter().filter(is_old).map(|file| (file.name, file.bytes)));
        return Ok(cleaned);
    };
    let oldest_kept = options.keep.map_or(1, |keep| (head.version + 1).saturating_sub(keep).max(1));
    let mut kept: Vec<LogRecord> = Vec::new();
    let mut records: Vec<(u64, Listed)> = Vec::new();
    for file in &traces {
        let name = file.name.strip_prefix("_kpi/log/");
        let Some(version) = name.and_then(log::version_of) else { continue };
        records.push((version, file.clone()));
    }
    records.sort_by_key(|(version, _)| *version);
    // What the record of a missing version names, nobody knows.
    if let Some(pair) = records.windows(2).find(|pair| pair[0].0 + 1 < pair[1].0) {
        return Err(Error::storage(format!("version {} is missing from the log", pair[0].0 + 1))
            .with_hint("restore its record from a backup; until then nothing is cleared away"));
    }
    let mut is_behind_kept = false;
    for (version, file) in records {
        // A record goes only with all before it, so that the log has no gap.
        if version < oldest_kept && is_old(&file) && !is_behind_kept {
            cleaned.versions.push(version);
            cleaned.files.push((file.name, file.bytes));
            continue;
        }
        is_behind_kept = true;
        // One that cannot be read may name anything, so nothing is deleted then.
        kept.extend(log::record(files, version).await?);
    }
    let named: BTreeSet<&str> = kept
        .iter()
        .flat_map(|record| record.kpis.values())
        .flat_map(|entry| &entry.files)
        .map(|file| file.path.as_str())
        .collect();
    let runs: BTreeSet<&str> = kept.iter().map(|record| record.run_id.as_str()).collect();
    let needless = results.iter().filter(|file| is_old(file) && !named.contains(file.name.as_str()));
    cleaned.files.extend(needless.map(|file| (file.name.clone(), file.bytes)));
    if options.keep.is_some() {
        let run_of = |file: &Listed| file.name.strip_prefix("_kpi/runs/")?.strip_suffix(".jsonl").map(str::to_owned);
        let needless = traces.iter().filter(|file| is_old(file));
        let needless = needless.filter(|file| run_of(file).is_some_and(|run| !runs.contains(run.as_str())));
        cleaned.files.extend(needless.map(|file| (file.name.clone(), file.bytes)));
    }
    // What a writer left that died before it could give its file a name.
    let is_leftover = |file: &&Listed| {
        let name = file.name.rsplit('/').next().unwrap_or_default();
        is_old(file) && name.starts_with('.') && name.ends_with(".tmp")
    };
    let copies = files.list_below("published").await?;
    let leftovers = traces.iter().chain(&copies).filter(is_leftover);
    cleaned.files.extend(leftovers.map(|file| (file.name.clone(), file.bytes)));
    Ok(cleaned)
}

/// Deletes what was found, and leaves out what could not be deleted.
pub(super) async fn delete(files: &dyn Files, found: Cleaned) -> Result<Cleaned> {
    let mut cleaned = Cleaned::default();
    for (name, bytes) in found.files {
        files.delete(&name).await?;
        if let Some(version) = name.strip_prefix("_kpi/log/").and_then(log::version_of) {
            cleaned.versions.push(version);
        }
        cleaned.files.push((name, bytes));
    }
    Ok(cleaned)
}
