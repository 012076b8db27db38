//! The result store: an append-only log of whole versions beside immutable data files, in one folder or bucket.
//!
//! Its promise: readers see whole versions only; a run that fails, is killed or loses a race changes nothing; a run that
//! is repeated converges to the same values. No database and no server is needed.
//!
//! ```text
//! <output>/data/<kpi>/<run_id>/part-0.parquet      immutable, unique names, never overwritten
//! <output>/_kpi/log/00000000000000000042.json      one record per version; creating it is the commit
//! <output>/_kpi/latest                             a hint to the newest record
//! <output>/_kpi/runs/<run_id>.jsonl                what a run did, step by step
//! <output>/_kpi/lease.json                         who is at work; advice, not a lock
//! <output>/published/<kpi>.parquet                 plain copies of the newest version
//! ```
//!
//! A run takes these steps; each is a file of this folder:
//!
//! 1. [`Store::begin`] reads the newest version (`log`), takes the lease (`lease`), and leaves the first line of the run's
//!    manifest (`manifest`). Before that nothing is written, not even a folder.
//! 2. [`Run::stage`], or a [`Stager`] beside others, writes each result into a file of the run's own and reads it back
//!    (`stage`). Nobody else knows of it.
//! 3. The caller audits its candidates, and leaves out those that fail.
//! 4. [`Run::commit`] creates the record of the next version, in which all KPIs of the run switch together (`commit`). If
//!    the answer is lost, the log is asked; if another run was first, the two are compared.
//! 5. Then the hint is renewed and the plain copies follow (`publish`). Whatever fails from here on is no longer a failure
//!    of the commit; the next run mends it.
//! 6. A run that does not commit ends with [`Run::abandon`], which deletes its files and keeps its manifest. One that is
//!    killed leaves files that no record names.
//!
//! The places themselves are `local` (a folder) and `objects` (an object store), both behind the few operations of
//! `files`. What this module deliberately does not do: decide what is computed, audit results, or clean up what dead
//! runs left behind.

mod clean;
mod commit;
mod failpoint;
mod files;
mod lease;
mod local;
mod log;
mod manifest;
mod objects;
mod probe;
mod publish;
mod record;
mod restore;
mod stage;
#[cfg(test)]
mod tests;
mod unique;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use chrono::Utc;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::object_store::{self, ObjectStore};

pub use self::clean::{CleanOptions, Cleaned, USUAL_AGE, YOUNGEST};
pub use self::commit::{BuildSummary, Summary};
pub use self::lease::Holder;
pub use self::manifest::{EventListener, Manifest, ManifestEvent, Phase, RunStart, Status};
pub use self::probe::{CLOCK_TOLERANCE, Probe};
pub use self::record::{Audit, AuditStatus, DataFile, Entry, FORMAT_VERSION, Input, LogRecord};

use self::commit::{Decision, Draft};
use self::files::Files;
use self::lease::Lease;
use self::local::LocalFiles;
use self::manifest::ManifestWriter;
use self::objects::ObjectFiles;
use self::stage::Written;
use crate::days::DayRanges;
use crate::error::{Error, Result};
use crate::location::{Location, Stores, store_of};
use crate::materialize::parquet::{self, Stored};

/// The results in one output folder. Cheap to clone; several may be open on one folder, in one process or many.
#[derive(Debug, Clone)]
pub struct Store {
    files: Arc<dyn Files>,
}

/// What is known when a run begins.
#[derive(Debug, Clone, Default)]
pub struct RunInfo {
    /// The version of the program, for the record.
    pub program: String,
    /// The moment from which relative dates count, as it goes into the record.
    pub as_of: Option<String>,
    /// Whether that moment was named, so that it is the same when somebody tries again; for the manifest.
    pub is_as_of_fixed: bool,
    /// The KPIs that were asked for, for the manifest.
    pub kpis: Vec<String>,
    /// Settings that were given another value for this run, for the manifest.
    pub settings: BTreeMap<String, String>,
    /// Whether nothing is to be published, not even what an earlier run left undone.
    pub dry_run: bool,
    /// Whether what has not changed is to be computed as well, for the manifest.
    pub force: bool,
    /// Days whose periods are to be computed in any case, for the manifest.
    pub days: DayRanges,
    /// Start although another run may be at work. Safe: at worst one of them computes in vain.
    pub without_lease: bool,
    /// Who is told of each step.
    pub listener: EventListener,
}

impl Store {
    /// A store at a place, which need not exist; it is made when a run begins.
    ///
    /// # Errors
    /// `Storage` where the environment does not say how to reach it.
    pub fn open(location: &Location, stores: &Stores) -> Result<Store> {
        match location {
            Location::Local(path) => Store::open_local(path),
            Location::Remote(remote) => {
                let files = ObjectFiles::new(store_of(stores, remote)?, remote.object_key()?);
                Ok(Store { files: Arc::new(files.shown_as(remote.clone())) })
            }
        }
    }

    /// A store in a local folder, which need not exist; it is made when a run begins.
    pub fn open_local(path: &Path) -> Result<Store> {
        let absolute = std::path::absolute(path).map_err(|source| {
            Error::storage(format!("`{}` is no path for an output folder", path.display())).with_source(source)
        })?;
        Ok(Store { files: Arc::new(LocalFiles::new(&absolute)) })
    }

    /// A store in an object store, below a prefix.
    pub fn open_objects(objects: Arc<dyn ObjectStore>, prefix: object_store::path::Path) -> Store {
        Store { files: Arc::new(ObjectFiles::new(objects, prefix)) }
    }

    /// The newest version, whole, or `None` before the first commit.
    pub async fn head(&self) -> Result<Option<LogRecord>> {
        log::head(&*self.files).await
    }

    /// One version, or `None` if it was never committed or is no longer kept.
    pub async fn record(&self, version: u64) -> Result<Option<LogRecord>> {
        log::record(&*self.files, version).await
    }

    /// The numbers of all versions that are kept, the newest first.
    ///
    /// # Errors
    /// `Storage` where the place cannot be listed.
    pub async fn versions(&self) -> Result<Vec<u64>> {
        log::versions(&*self.files).await
    }

    /// The rows of a KPI in a version, checked against the record, in at least one batch; `None` if the version does not
    /// have the KPI.
    pub async fn read_kpi(&self, record: &LogRecord, kpi: &str) -> Result<Option<Vec<RecordBatch>>> {
        match record.kpis.get(kpi) {
            Some(entry) => stage::read(&*self.files, entry).await.map(Some),
            None => Ok(None),
        }
    }

    /// The file of a KPI in a version, checked against the record, of which parts can be read; `None` if the version does not
    /// have the KPI, or it lies in several files.
    pub async fn open_kpi(&self, record: &LogRecord, kpi: &str) -> Result<Option<Stored>> {
        match record.kpis.get(kpi) {
            Some(entry) => stage::open(&*self.files, entry).await,
            None => Ok(None),
        }
    }

    /// Whether the files of an entry are all there, each as long as it was.
    ///
    /// # Errors
    /// `Storage` where the place cannot be listed.
    pub async fn has_files(&self, entry: &Entry) -> Result<bool> {
        for file in &entry.files {
            let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
            let there = self.files.list(folder).await?;
            if !there.iter().any(|known| known.name == name && known.bytes == file.bytes) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Where a path of a record lies: a path of the file system, or a key of the object store.
    pub fn locate(&self, path: &str) -> String {
        self.files.locate(path)
    }

    /// The ids of all runs that left a manifest, oldest first.
    pub async fn runs(&self) -> Result<Vec<String>> {
        manifest::runs(&*self.files).await
    }

    /// What a run did, or `None` if there is no such run.
    pub async fn manifest(&self, run_id: &str) -> Result<Option<Manifest>> {
        manifest::read(&*self.files, run_id).await
    }

    /// Brings the plain copies to the newest version, if an earlier run did not come to it. Returns whether there was
    /// anything to do.
    pub async fn repair_published(&self) -> Result<bool> {
        publish::follow_head(&*self.files).await
    }

    /// Tries out whether a run could publish here. Nothing stays behind, but for folders on a disk.
    ///
    /// # Errors
    /// `Storage` with the first thing that a run would fail at.
    pub async fn probe(&self) -> Result<Probe> {
        probe::probe(&*self.files).await
    }

    /// What no version needs any more, and with `keep` what older versions alone need. Nothing is deleted.
    ///
    /// # Errors
    /// `Config` where the options ask for too much, `Storage` where the place cannot be listed or a record cannot be read.
    pub async fn find_needless(&self, options: &CleanOptions) -> Result<Cleaned> {
        clean::find(&*self.files, options, std::time::SystemTime::now()).await
    }

    /// Deletes what [`Store::find_needless`] has found.
    ///
    /// # Errors
    /// `Storage` with the first file that cannot be deleted; those before it are gone.
    pub async fn delete_needless(&self, found: Cleaned) -> Result<Cleaned> {
        clean::delete(&*self.files, found).await
    }

    /// Who is at work on this place and shows signs of life.
    ///
    /// # Errors
    /// `Storage` where nobody can say.
    pub async fn holder(&self) -> Result<Option<Holder>> {
        lease::holder(&*self.files).await
    }

    /// Begins a run: pins the newest version, takes the lease, and leaves the first trace.
    ///
    /// Fails with [`ErrorKind::Conflict`](crate::error::ErrorKind::Conflict) while another run holds the lease.
    pub async fn begin(&self, info: RunInfo) -> Result<Run> {
        let parent = self.head().await?;
        let id = unique::run_id(Utc::now());
        let holder = Holder::this_process(&id);
        let lease = match info.without_lease {
            true => Lease::none(holder.clone()),
            false => Lease::take(&*self.files, holder.clone()).await?,
        };
        let mut first = ManifestEvent::new(Phase::Run, Status::Started);
        first.start = Some(RunStart {
            program: info.program.clone(),
            as_of: info.as_of.clone(),
            is_as_of_fixed: info.is_as_of_fixed,
            kpis: info.kpis.clone(),
            settings: info.settings.clone(),
            dry_run: info.dry_run,
            force: info.force,
            days: info.days.clone(),
            parent: parent.as_ref().map(|record| record.version),
            holder,
        });
        let manifest = match ManifestWriter::create(self.files.clone(), &id, first, info.listener.clone()).await {
            Ok(manifest) => manifest,
            Err(error) => {
                lease.release(&*self.files).await;
                return Err(error);
            }
        };
        let mut run = Run { files: self.files.clone(), id, info, parent, manifest, lease, written: Written::default() };
        if run.info.dry_run {
            return Ok(run);
        }
        // What an earlier run left undone. If it fails again, that is for the end of this run to say.
        let repaired = self.repair_published().await;
        run.note_published(repaired.as_ref()).await;
        Ok(run)
    }
}

/// A run at work. It ends with [`Run::commit`], [`Run::finish`] or [`Run::abandon`]; one that is dropped instead leaves its
/// files behind and changes nothing.
#[derive(Debug)]
pub struct Run {
    files: Arc<dyn Files>,
    id: String,
    info: RunInfo,
    parent: Option<LogRecord>,
    manifest: ManifestWriter,
    lease: Lease,
    written: Written,
}

/// A result on disk that is not published yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedKpi {
    pub kpi: String,
    pub rows: u64,
    pub file: DataFile,
}

/// A staged result with what the record says about it.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub staged: StagedKpi,
    /// See [`Entry::fingerprint`].
    pub fingerprint: String,
    /// See [`Entry::input_digest`].
    pub input_digest: String,
    pub audit: Vec<Audit>,
    /// See [`Entry::headline`].
    pub headline: Option<serde_json::Value>,
    /// See [`Entry::basis`].
    pub basis: Option<serde_json::Value>,
}

/// What a run commits, all at once.
#[derive(Default)]
pub struct Commit<'a> {
    pub candidates: Vec<Candidate>,
    /// KPIs that the next version shall not have.
    pub removals: Vec<String>,
    pub inputs: Vec<Input>,
    /// The table over all KPIs of the next version.
    pub summary: Option<Summary<'a>>,
}

/// How a commit ended.
#[derive(Debug)]
pub enum CommitOutcome {
    /// The record is in the log. `unpublished` says why the plain copies are not up to date yet.
    Committed { record: LogRecord, unpublished: Option<Error> },
    /// Other runs committed all of it meanwhile, from the same definitions and inputs; `record` is the last of theirs.
    AlreadyThere { record: LogRecord, unpublished: Option<Error> },
    /// Another run committed something else for these KPIs. Nothing of this run was kept.
    Lost { by: LogRecord, contested: Vec<String> },
}

/// Writes results of a run into files of its own, which nobody else knows of. A clone may be at work beside others.
#[derive(Debug, Clone)]
pub struct Stager {
    files: Arc<dyn Files>,
    run_id: String,
    written: Written,
}

impl Stager {
    /// Writes a result that is a Parquet file already, and reads it back. Staging a KPI again makes a new candidate.
    pub async fn stage(&self, kpi: &str, encoded: Vec<u8>, rows: u64) -> Result<StagedKpi> {
        failpoint::hit("before_stage");
        refuse_bad_name(kpi)?;
        let path = self.written.next_path(kpi, &self.run_id);
        let file = stage::write(&*self.files, path, encoded, rows).await?;
        failpoint::hit("after_stage");
        Ok(StagedKpi { kpi: kpi.to_string(), rows: file.rows, file })
    }
}

impl Run {
    /// Sorts by the time at which runs began.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The version on which the run builds.
    pub fn parent(&self) -> Option<&LogRecord> {
        self.parent.as_ref()
    }

    /// Adds a line to the manifest.
    pub async fn event(&mut self, event: &ManifestEvent) -> Result<()> {
        self.heartbeat().await;
        self.manifest.event(event.clone()).await
    }

    /// Shows other runs that this one lives. Cheap enough to call with every tick of a progress bar.
    pub async fn heartbeat(&mut self) {
        self.lease.heartbeat(&*self.files).await;
    }

    /// Writes a result to a file of its own and reads it back. Staging a KPI again makes a new candidate.
    pub async fn stage(&mut self, kpi: &str, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<StagedKpi> {
        let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        self.heartbeat().await;
        self.stager().stage(kpi, parquet::encode(schema, batches)?, rows).await
    }

    /// What writes results of this run side by side.
    pub fn stager(&self) -> Stager {
        Stager { files: self.files.clone(), run_id: self.id.clone(), written: self.written.clone() }
    }

    /// Commits everything at once, then brings the plain copies up to date.
    ///
    /// An error means that it is not known whether the commit arrived, or that a step before it failed; the run's files
    /// stay, and running again finds out.
    pub async fn commit(mut self, commit: Commit<'_>) -> Result<CommitOutcome> {
        failpoint::hit("before_commit");
        match self.settle(commit).await {
            Ok(Decision::Committed(record)) => {
                failpoint::hit("after_commit");
                log::leave_hint(&*self.files, record.version).await;
                let committed = ManifestEvent::new(Phase::Commit, Status::Done);
                let committed = committed.reason(format!("version {}", record.version));
                let unpublished = self.follow(&record, committed).await;
                Ok(CommitOutcome::Committed { record, unpublished })
            }
            Ok(Decision::AlreadyThere(record)) => {
                let skipped = ManifestEvent::new(Phase::Commit, Status::Skipped);
                let skipped = skipped.reason(format!("version {} has it already", record.version));
                let unpublished = self.follow(&record, skipped).await;
                Ok(CommitOutcome::AlreadyThere { record, unpublished })
            }
            Ok(Decision::Lost { by, contested }) => {
                let lost = ManifestEvent::new(Phase::Commit, Status::Abandoned);
                self.note(lost.reason(format!("run `{}` committed version {} first", by.run_id, by.version))).await;
                self.delete_written_except(&by).await;
                self.end(Status::Abandoned).await;
                Ok(CommitOutcome::Lost { by, contested })
            }
            Err(error) => {
                self.note(ManifestEvent::new(Phase::Commit, Status::Failed).error(&error)).await;
                self.end(Status::Failed).await;
                Err(error)
            }
        }
    }

    /// The version that a commit would make now, without the table over all KPIs. Nobody else ever sees it, and its files go
    /// with [`Run::finish`].
    ///
    /// # Errors
    /// `Internal` where there is nothing to commit.
    pub async fn would_commit(&self, commit: Commit<'_>) -> Result<LogRecord> {
        let draft = self.draft(Commit { summary: None, ..commit })?;
        draft.on_top_of(&*self.files, self.parent.as_ref(), "none", &self.written).await
    }

    /// Commits a version that has again what an earlier one had, then brings the plain copies up to date.
    ///
    /// # Errors
    /// `Storage` where files of that version are gone or nobody knows whether the commit arrived, `Conflict` where others
    /// commit again and again.
    pub async fn restore(mut self, earlier: &LogRecord) -> Result<(LogRecord, Option<Error>)> {
        match restore::restore(&*self.files, earlier, &self.id, &self.info.program).await {
            Ok(record) => {
                log::leave_hint(&*self.files, record.version).await;
                let committed = ManifestEvent::new(Phase::Commit, Status::Done);
                let words = format!("version {}, as version {}", record.version, earlier.version);
                let unpublished = self.follow(&record, committed.reason(words)).await;
                Ok((record, unpublished))
            }
            Err(error) => {
                self.note(ManifestEvent::new(Phase::Commit, Status::Failed).error(&error)).await;
                self.end(Status::Failed).await;
                Err(error)
            }
        }
    }

    /// Ends a run that found nothing to commit. Candidates that it staged are deleted.
    pub async fn finish(mut self) {
        self.delete_written().await;
        self.end(Status::Done).await;
    }

    /// Ends a run that will not commit: its files go, its manifest stays. Call it only if [`Run::commit`] was not.
    pub async fn abandon(mut self, reason: &str) {
        self.delete_written().await;
        self.note(ManifestEvent::new(Phase::Run, Status::Abandoned).reason(reason)).await;
        self.release().await;
    }

    async fn settle(&mut self, commit: Commit<'_>) -> Result<Decision> {
        let draft = self.draft(commit)?;
        self.event(&ManifestEvent::new(Phase::Commit, Status::Started)).await?;
        commit::settle(&*self.files, draft, self.parent.clone(), &self.written).await
    }

    fn draft<'a>(&self, commit: Commit<'a>) -> Result<Draft<'a>> {
        let mut entries = BTreeMap::new();
        for Candidate { staged, fingerprint, input_digest, audit, headline, basis } in commit.candidates {
            if !self.written.contains(&staged.file.path) {
                return Err(Error::internal(format!("run `{}` did not stage `{}`", self.id, staged.file.path)));
            }
            let as_of = self.info.as_of.clone();
            let files = vec![staged.file];
            let rows = staged.rows;
            let entry =
                Entry { files, fingerprint, input_digest, as_of, rows, audit, headline, basis, committed_in: 0 };
            if entries.insert(staged.kpi.clone(), entry).is_some() {
                return Err(Error::internal(format!("`{}` would be committed twice", staged.kpi)));
            }
        }
        let removals: BTreeSet<String> = commit.removals.into_iter().collect();
        let summary = commit.summary;
        if let Some(summary) = &summary {
            refuse_bad_name(&summary.name)?;
        }
        let summarized = summary.as_ref().map(|summary| &summary.name);
        if let Some(kpi) = removals.iter().chain(summarized).find(|kpi| entries.contains_key(*kpi)) {
            return Err(Error::internal(format!("`{kpi}` cannot be committed and removed or summarized at once")));
        }
        if entries.is_empty() && removals.is_empty() {
            return Err(Error::internal("there is nothing to commit"));
        }
        let (program, as_of) = (self.info.program.clone(), self.info.as_of.clone());
        Ok(Draft { run_id: self.id.clone(), program, as_of, entries, removals, inputs: commit.inputs, summary })
    }

    /// Ends a run whose work is in a version, by itself or by another: with the plain copies of that version.
    async fn follow(mut self, record: &LogRecord, event: ManifestEvent) -> Option<Error> {
        self.note(event).await;
        // What other runs had done in our stead, and candidates that were staged anew.
        self.delete_written_except(record).await;
        let unpublished = self.publish().await;
        self.end(Status::Done).await;
        unpublished
    }

    async fn publish(&mut self) -> Option<Error> {
        failpoint::hit("before_publish");
        let published = publish::follow_head(&*self.files).await;
        failpoint::hit("after_publish");
        self.note_published(published.as_ref()).await;
        published.err()
    }

    async fn note_published(&mut self, published: Result<&bool, &Error>) {
        match published {
            Ok(false) => {}
            Ok(true) => self.note(ManifestEvent::new(Phase::Publish, Status::Done)).await,
            Err(error) => self.note(ManifestEvent::new(Phase::Publish, Status::Failed).error(error)).await,
        }
    }

    /// An event that is not worth failing for, because it tells what has happened already.
    async fn note(&mut self, event: ManifestEvent) {
        let _ = self.manifest.event(event).await;
    }

    async fn end(mut self, status: Status) {
        self.note(ManifestEvent::new(Phase::Run, status)).await;
        self.release().await;
    }

    async fn release(mut self) {
        let _ = self.manifest.flush().await;
        self.lease.release(&*self.files).await;
    }

    async fn delete_written_except(&mut self, record: &LogRecord) {
        let kept: BTreeSet<&str> =
            record.kpis.values().flat_map(|entry| &entry.files).map(|file| file.path.as_str()).collect();
        self.delete(self.written.take(|path| !kept.contains(path))).await;
    }

    async fn delete_written(&mut self) {
        self.delete(self.written.take(|_| true)).await;
    }

    async fn delete(&self, paths: Vec<String>) {
        // What cannot be deleted is named by no record, and harmless.
        for path in paths {
            let _ = self.files.delete(&path).await;
        }
    }
}

/// Names become parts of paths, and must mean the same on every file system and in every object store.
fn refuse_bad_name(kpi: &str) -> Result<()> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if kpi.is_empty() || kpi.starts_with('.') || !kpi.bytes().all(is_plain) {
        return Err(Error::config(format!("`{kpi}` cannot be the name of a result"))
            .with_hint("use letters, digits and underscores"));
    }
    Ok(())
}
