//! The versions that runs have published: which there are, how two of them differ and why, how to go back to one, and what
//! can be cleared away. Nothing is computed here.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;

use super::Engine;
use crate::diagnostic::nearest;
use crate::error::{Error, Result};
use crate::execute::query_error;
use crate::report::{Difference, KPI_VALUES, difference};
use crate::store::{Commit, Entry, Input, LogRecord, ManifestEvent, Phase, Run, RunStart, Status, Store};
use crate::survey::tables_of;

/// How two versions differ.
#[derive(Debug)]
pub struct VersionDifference {
    pub from: LogRecord,
    pub to: LogRecord,
    /// The KPIs that are not as they were, by name.
    pub kpis: Vec<(String, KpiDifference)>,
    /// The tables whose files are not as they were.
    pub tables: BTreeMap<String, TableDifference>,
}

/// How a KPI differs.
#[derive(Debug, Clone, PartialEq)]
pub enum KpiDifference {
    /// Only the later version has it.
    Came { rows: u64 },
    /// Only the earlier version has it.
    Went { rows: u64 },
    /// Both have it, written at different times; the values may be the same.
    Written { values: Difference, reasons: Vec<Reason> },
    /// The values of one of them cannot be read any more.
    Lost { reason: String },
}

/// Why a KPI was computed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    Definition,
    /// Files or tests, and the tables whose files they are, as far as that is known.
    Inputs {
        tables: Vec<String>,
    },
    /// Looked at from another day.
    AsOf {
        from: Option<String>,
        to: Option<String>,
    },
}

/// How the files of a table differ, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableDifference {
    pub came: Vec<String>,
    pub went: Vec<String>,
    /// Of the same name, and with another content or another time.
    pub changed: Vec<String>,
}

/// What came of going back.
#[derive(Debug)]
pub struct RolledBack {
    /// The new version.
    pub record: LogRecord,
    /// Why the plain copies lag behind the log, if they do.
    pub unpublished: Option<Error>,
}

/// What a run was asked for and did not publish.
#[derive(Debug)]
pub struct Unfinished {
    pub run_id: String,
    /// How it was asked.
    pub start: RunStart,
    pub kpis: BTreeSet<String>,
}

impl Engine {
    /// The newest versions, the newest first, at most so many; with a KPI only those that brought it.
    ///
    /// # Errors
    /// `Storage` where they cannot be read.
    pub async fn history(&self, kpi: Option<&str>, limit: usize) -> Result<Vec<LogRecord>> {
        let store = self.store()?;
        let mut records = Vec::new();
        let head = store.head().await?;
        let known: BTreeSet<String> = head.iter().flat_map(|head| head.kpis.keys()).cloned().collect();
        for version in store.versions().await? {
            if records.len() == limit {
                break;
            }
            // It was cleared away in this moment.
            let Some(record) = store.record(version).await? else { continue };
            let brings = |kpi: &str| {
                let has_it = record.kpis.get(kpi).is_some_and(|entry| entry.committed_in == record.version);
                has_it || record.removed.iter().any(|removed| removed == kpi)
            };
            if kpi.is_none_or(brings) {
                records.push(record);
            }
        }
        match kpi {
            // One that is new was not published yet.
            Some(kpi) if records.is_empty() && limit > 0 && !self.model().kpis.contains_key(kpi) => {
                Err(unknown(kpi, known.iter().map(String::as_str)))
            }
            _ => Ok(records),
        }
    }

    /// What differs between two versions, of some KPIs or of all.
    ///
    /// # Errors
    /// `Config` where there is no such version or KPI, `Storage` where a result cannot be read.
    pub async fn diff(&self, from: u64, to: u64, kpis: &[String]) -> Result<VersionDifference> {
        let store = self.store()?;
        let (from, to) = (version(&store, from).await?, version(&store, to).await?);
        self.difference(&store, from, to, kpis).await
    }

    /// What a commit would change; `None` where nothing is published yet.
    pub(super) async fn compared_with_published(
        &self,
        run: &Run,
        commit: Commit<'_>,
    ) -> Result<Option<VersionDifference>> {
        let Some(parent) = run.parent().cloned() else { return Ok(None) };
        let next = run.would_commit(commit).await?;
        self.difference(&self.store()?, parent, next, &[]).await.map(Some)
    }

    async fn difference(
        &self,
        store: &Store,
        from: LogRecord,
        to: LogRecord,
        kpis: &[String],
    ) -> Result<VersionDifference> {
        let names: BTreeSet<&String> = from.kpis.keys().chain(to.kpis.keys()).collect();
        if let Some(asked) = kpis.iter().find(|asked| !names.contains(asked)) {
            return Err(unknown(asked, names.iter().map(|name| name.as_str())));
        }
        let is_asked = |name: &str| name != KPI_VALUES && (kpis.is_empty() || kpis.iter().any(|asked| asked == name));
        let tables = tables_between(&from.inputs, &to.inputs);
        let mut differences = Vec::new();
        for name in names.into_iter().filter(|name| is_asked(name)) {
            let found = match (from.kpis.get(name), to.kpis.get(name)) {
                (None, Some(entry)) => Some(KpiDifference::Came { rows: entry.rows }),
                (Some(entry), None) => Some(KpiDifference::Went { rows: entry.rows }),
                (Some(before), Some(after)) if before.files != after.files => {
                    let both = (rows(store, &from, name).await, rows(store, &to, name).await);
                    Some(match both {
                        (Ok(old), Ok(new)) => KpiDifference::Written {
                            values: difference(&old, &new)?,
                            reasons: self.reasons(name, before, after, &tables),
                        },
                        (Err(error), _) | (_, Err(error)) => KpiDifference::Lost { reason: error.message().to_owned() },
                    })
                }
                _ => None,
            };
            differences.extend(found.map(|found| (name.clone(), found)));
        }
        Ok(VersionDifference { kpis: differences, tables, from, to })
    }

    fn reasons(
        &self,
        name: &str,
        before: &Entry,
        after: &Entry,
        tables: &BTreeMap<String, TableDifference>,
    ) -> Vec<Reason> {
        let mut reasons = Vec::new();
        if before.fingerprint != after.fingerprint {
            reasons.push(Reason::Definition);
        }
        if before.input_digest != after.input_digest {
            // What it reads is known of definitions that are still there.
            let read = self.model().kpis.get(name).map(|kpi| tables_of(self.model(), kpi)).unwrap_or_default();
            let tables: Vec<String> = tables.keys().filter(|table| read.contains(*table)).cloned().collect();
            // Another definition may read other tables, of which no file has changed.
            if !tables.is_empty() || reasons.is_empty() {
                reasons.push(Reason::Inputs { tables });
            }
        }
        if before.as_of != after.as_of {
            reasons.push(Reason::AsOf { from: before.as_of.clone(), to: after.as_of.clone() });
        }
        reasons
    }

    /// Publishes again what a version had, as a new version.
    ///
    /// # Errors
    /// `Config` where there is no such version or it is the newest, `Storage` where its files are gone, `Conflict` where a run
    /// is at work.
    pub async fn roll_back(&self, to: u64) -> Result<RolledBack> {
        let store = self.store()?;
        let earlier = version(&store, to).await?;
        let head = store.head().await?;
        if head.as_ref().is_some_and(|head| head.version == to) {
            return Err(Error::config(format!("version {to} is the newest one")).with_hint("`kpi history` lists them"));
        }
        for (kpi, entry) in &earlier.kpis {
            if !store.has_files(entry).await? {
                return Err(Error::storage(format!("the values of `{kpi}` in version {to} are gone"))
                    .with_hint("they were deleted or cleared away; go back to another version"));
            }
        }
        let run = store.begin(self.run_info([].iter())).await?;
        let (record, unpublished) = run.restore(&earlier).await?;
        Ok(RolledBack { record, unpublished })
    }

    /// The KPIs that the last run was asked for and did not publish, by what its manifest says.
    ///
    /// # Errors
    /// `Storage` where the manifests cannot be read, `Config` where there was no run.
    pub async fn unfinished(&self) -> Result<Unfinished> {
        let store = self.store()?;
        for run in store.runs().await?.into_iter().rev() {
            let Some(manifest) = store.manifest(&run).await? else { continue };
            let start = manifest.events.iter().find_map(|event| event.start.as_ref());
            let Some(start) = start.filter(|start| !start.kpis.is_empty() && !start.dry_run) else { continue };
            let ended = |event: &ManifestEvent| matches!(event.status, Status::Done | Status::Skipped);
            let has_committed = manifest.events.iter().any(|event| event.phase == Phase::Commit && ended(event));
            let mut unfinished: BTreeSet<String> = start.kpis.iter().cloned().collect();
            for event in &manifest.events {
                let Some(kpi) = &event.kpi else { continue };
                match event.status {
                    Status::Done | Status::Skipped if has_committed => unfinished.remove(kpi),
                    Status::Skipped => unfinished.remove(kpi),
                    Status::Failed | Status::Withheld => unfinished.insert(kpi.clone()),
                    _ => false,
                };
            }
            return Ok(Unfinished { run_id: run, start: start.clone(), kpis: unfinished });
        }
        Err(Error::config("there was no run yet").with_hint("`kpi run` computes everything"))
    }
}

fn unknown<'a>(kpi: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let error = Error::config(format!("no version has a KPI `{kpi}`"));
    match nearest(kpi, known) {
        Some(near) => error.with_hint(format!("did you mean `{near}`?")),
        None => error.with_hint("`kpi ls` lists the KPIs"),
    }
}

async fn version(store: &Store, version: u64) -> Result<LogRecord> {
    if let Some(record) = store.record(version).await? {
        return Ok(record);
    }
    let head = store.head().await?;
    let error = Error::config(format!("there is no version {version}"));
    Err(match head {
        Some(head) if version > head.version => error.with_hint(format!("the newest one is {}", head.version)),
        Some(_) if version == 0 => error.with_hint("versions count from 1"),
        Some(_) => error.with_hint("it was cleared away; `kpi history` lists those that are there"),
        None => error.with_hint("nothing was published yet; `kpi run` does"),
    })
}

async fn rows(store: &Store, record: &LogRecord, kpi: &str) -> Result<RecordBatch> {
    let batches = store.read_kpi(record, kpi).await?.unwrap_or_default();
    let schema = batches.first().map(RecordBatch::schema);
    let schema = schema.ok_or_else(|| Error::internal(format!("`{kpi}` of version {} has no rows", record.version)))?;
    concat_batches(&schema, &batches).map_err(|error| query_error(error.into()))
}

fn tables_between(before: &[Input], after: &[Input]) -> BTreeMap<String, TableDifference> {
    let by_name = |inputs: &[Input]| -> BTreeMap<(String, String), Input> {
        inputs.iter().map(|input| ((input.table.clone(), input.path.clone()), input.clone())).collect()
    };
    let is_same = |one: &Input, other: &Input| {
        one.bytes == other.bytes && one.modified == other.modified && one.etag == other.etag
    };
    let (before, after) = (by_name(before), by_name(after));
    let mut tables: BTreeMap<String, TableDifference> = BTreeMap::new();
    for ((table, path), input) in &after {
        match before.get(&(table.clone(), path.clone())) {
            None => tables.entry(table.clone()).or_default().came.push(path.clone()),
            Some(known) if !is_same(known, input) => {
                tables.entry(table.clone()).or_default().changed.push(path.clone());
            }
            Some(_) => {}
        }
    }
    for (table, path) in before.into_keys().filter(|name| !after.contains_key(name)) {
        tables.entry(table).or_default().went.push(path);
    }
    tables
}
