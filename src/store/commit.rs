//! Committing: who comes first, who follows, and who gives way.
//!
//! A draft is what a run brings. It is laid on top of the newest version and created as the next one. If others
//! committed since the run began, their records say which KPIs they touched: where they did the same work, theirs stands
//! and ours is dropped; where they touched other KPIs, ours goes on top without computing again; anything else is a lost
//! race. This module never deletes; what is left over is the run's to tidy.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::Utc;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;

use super::files::Files;
use super::log::Owner;
use super::record::{DataFile, Entry, FORMAT_VERSION, Input, LogRecord};
use super::stage::{self, Written};
use super::{log, unique};
use crate::error::{Error, ErrorKind, Result};
use crate::materialize::parquet::{self, Stored};

/// How often somebody else may snatch the newest place before a run gives up.
const RACES: u32 = 50;

/// A table over all KPIs of a version, such as `kpi_values`.
///
/// It belongs to the version and not to a run, so that two runs which touch different KPIs do not fight for it: it is
/// built again for the version that is really committed.
pub struct Summary<'a> {
    /// The name under which it is stored and published, beside the KPIs.
    pub name: String,
    /// A digest of whatever else the table rests on, such as the names and units of the KPIs.
    pub fingerprint: String,
    pub schema: SchemaRef,
    /// From rows of a KPI to rows of the table. Pure: it may be called several times.
    pub build: BuildSummary<'a>,
}

/// See [`Summary::build`]. The same rows with the same columns give the same rows of the table: groups that were made before
/// are taken over.
pub type BuildSummary<'a> = Box<dyn Fn(&RecordBatch) -> Result<RecordBatch> + Send + Sync + 'a>;

/// What a run wants to commit.
pub(super) struct Draft<'a> {
    pub(super) run_id: String,
    pub(super) program: String,
    pub(super) as_of: Option<String>,
    pub(super) entries: BTreeMap<String, Entry>,
    pub(super) removals: BTreeSet<String>,
    pub(super) inputs: Vec<Input>,
    pub(super) summary: Option<Summary<'a>>,
}

/// How it ended. An error instead means that nobody knows, or that a step before the commit failed.
pub(super) enum Decision {
    Committed(LogRecord),
    /// Others had done all of it already.
    AlreadyThere(LogRecord),
    Lost {
        by: LogRecord,
        contested: Vec<String>,
    },
}

/// Commits a draft on top of `parent` and of whatever was committed since. The paths of files that are written on the
/// way are added to `written`.
pub(super) async fn settle(
    files: &dyn Files,
    mut draft: Draft<'_>,
    mut parent: Option<LogRecord>,
    written: &Written,
) -> Result<Decision> {
    // One name for all attempts: a late arrival of an earlier one is recognized as ours.
    let commit_id = unique::token();
    let mut races = 0;
    loop {
        // First follow what is there.
        let next = parent.as_ref().map_or(1, |record| record.version + 1);
        let theirs = match log::record(files, next).await? {
            Some(theirs) => theirs,
            None => {
                let record = draft.on_top_of(files, parent.as_ref(), &commit_id, written).await?;
                match log::create(files, &record).await? {
                    Owner::Mine => return Ok(Decision::Committed(record)),
                    Owner::Theirs(theirs) => {
                        races += 1;
                        *theirs
                    }
                }
            }
        };
        let contested = draft.give_way_to(&theirs);
        if !contested.is_empty() {
            return Ok(Decision::Lost { by: theirs, contested });
        }
        if draft.is_empty() {
            return Ok(Decision::AlreadyThere(theirs));
        }
        if races == RACES {
            return Err(Error::new(ErrorKind::Conflict, format!("{RACES} other commits came first"))
                .with_hint("run again when fewer runs share this output folder"));
        }
        if races > 0 {
            unique::pause(races).await;
        }
        parent = Some(theirs);
    }
}

impl Draft<'_> {
    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.removals.is_empty()
    }

    /// Drops what another commit did in our stead; returns the KPIs over which the two disagree.
    fn give_way_to(&mut self, theirs: &LogRecord) -> Vec<String> {
        let mut contested = Vec::new();
        for (kpi, entry) in theirs.kpis.iter().filter(|(_, entry)| entry.committed_in == theirs.version) {
            if self.summary.as_ref().is_some_and(|summary| summary.name == *kpi) {
                continue;
            }
            match self.entries.get(kpi) {
                Some(mine) if mine.is_same_work_as(entry) => {
                    self.entries.remove(kpi);
                }
                Some(_) => contested.push(kpi.clone()),
                None if self.removals.contains(kpi) => contested.push(kpi.clone()),
                None => {}
            }
        }
        for kpi in &theirs.removed {
            if self.entries.contains_key(kpi) {
                contested.push(kpi.clone());
            }
            self.removals.remove(kpi);
        }
        contested
    }

    /// The whole next version.
    pub(super) async fn on_top_of(
        &self,
        files: &dyn Files,
        parent: Option<&LogRecord>,
        commit_id: &str,
        written: &Written,
    ) -> Result<LogRecord> {
        let version = parent.map_or(1, |record| record.version + 1);
        let mut kpis = parent.map(|record| record.kpis.clone()).unwrap_or_default();
        let mut removed: Vec<String> =
            self.removals.iter().filter(|kpi| kpis.remove(*kpi).is_some()).cloned().collect();
        for (kpi, entry) in &self.entries {
            kpis.insert(kpi.clone(), Entry { committed_in: version, ..entry.clone() });
        }
        if let Some(summary) = &self.summary {
            let before = kpis.remove(&summary.name);
            let (entry, lost) = self.summarize(files, summary, &kpis, before, version, written).await?;
            kpis.retain(|kpi, _| !lost.contains(kpi));
            removed.extend(lost);
            kpis.insert(summary.name.clone(), entry);
        }
        Ok(LogRecord {
            format_version: FORMAT_VERSION,
            version,
            commit_id: commit_id.to_string(),
            run_id: self.run_id.clone(),
            parent: parent.map(|record| record.version),
            created_at: unique::timestamp(Utc::now()),
            program: self.program.clone(),
            as_of: self.as_of.clone(),
            kpis,
            removed,
            inputs: self.inputs.clone(),
            restores: None,
        })
    }

    /// The table over these KPIs, and those whose values nobody has any more: a record that names them would promise what is
    /// not there, and none could be committed until they are computed again.
    async fn summarize(
        &self,
        files: &dyn Files,
        summary: &Summary<'_>,
        kpis: &BTreeMap<String, Entry>,
        before: Option<Entry>,
        version: u64,
        written: &Written,
    ) -> Result<(Entry, Vec<String>)> {
        let fingerprint = summary.fingerprint.clone();
        let input_digest = digest_of(kpis.iter());
        let before = before.filter(|before| before.fingerprint == fingerprint);
        if let Some(before) = before.as_ref().filter(|before| before.input_digest == input_digest) {
            return Ok((before.clone(), Vec::new()));
        }
        let known = Known::of(files, before.as_ref(), &summary.schema).await;
        // Group by group: all of them at once may be more than there is memory.
        let mut encoder = parquet::Encoder::new(&summary.schema)?;
        let (mut rows, mut groups, mut lost) = (0, Vec::new(), Vec::new());
        for (kpi, entry) in kpis {
            let is_own = entry.committed_in == version;
            let Some(opened) = stage::open_all(files, entry, is_own).await? else {
                lost.push(kpi.clone());
                continue;
            };
            for stored in &opened {
                for group in 0..stored.groups() {
                    let digest = stored.digest(group);
                    // The same rows make the same rows of the table.
                    let added = match known.group(&digest) {
                        Some((table, known)) => {
                            encoder.keep(table, known)?;
                            table.rows_of(known)
                        }
                        None => {
                            let batch = (summary.build)(&stage::rows_of(stored, group)?)?;
                            encoder.add_group(&batch)?;
                            batch.num_rows()
                        }
                    };
                    rows += added as u64;
                    groups.extend((added > 0).then_some(digest));
                }
            }
        }
        let path = written.next_path(&summary.name, &self.run_id);
        let file = stage::write(files, path, encoder.finish()?, rows).await?;
        let file = DataFile { groups, ..file };
        let input_digest = digest_of(kpis.iter().filter(|(kpi, _)| !lost.contains(kpi)));
        let entry = Entry {
            rows: file.rows,
            files: vec![file],
            fingerprint,
            input_digest,
            as_of: self.as_of.clone(),
            audit: Vec::new(),
            headline: None,
            basis: None,
            committed_in: version,
        };
        Ok((entry, lost))
    }
}

/// The table over all KPIs of the version before, whose groups can be taken over.
#[derive(Default)]
struct Known {
    table: Option<Stored>,
    /// By what they were made of.
    groups: HashMap<String, usize>,
}

impl Known {
    /// Without it every group is made anew.
    async fn of(files: &dyn Files, before: Option<&Entry>, schema: &SchemaRef) -> Known {
        let Some(entry) = before else { return Known::default() };
        let Ok(Some(table)) = stage::open(files, entry).await else { return Known::default() };
        let made_of = &entry.files[0].groups;
        if made_of.len() != table.groups() || table.schema().fields() != schema.fields() {
            return Known::default();
        }
        let groups = made_of.iter().cloned().enumerate().map(|(index, digest)| (digest, index)).collect();
        Known { table: Some(table), groups }
    }

    fn group(&self, digest: &str) -> Option<(&Stored, usize)> {
        self.table.as_ref().zip(self.groups.get(digest).copied())
    }
}

fn digest_of<'a>(kpis: impl Iterator<Item = (&'a String, &'a Entry)>) -> String {
    let mut hasher = blake3::Hasher::new();
    for (kpi, entry) in kpis {
        for word in std::iter::once(kpi).chain(entry.files.iter().map(|file| &file.blake3)) {
            hasher.update(&(word.len() as u64).to_le_bytes());
            hasher.update(word.as_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}
