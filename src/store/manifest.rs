//! A run's manifest: `_kpi/runs/<run_id>.jsonl`, one event per line, written as the run goes.
//!
//! It says what a run did and how far it came, also when it was killed. Nothing is decided by it: what counts is in the
//! log. So a torn last line is normal, and lines of a newer program are passed over.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use serde::{Deserialize, Serialize};

use super::files::{Created, Files, ignores_conditions};
use super::lease::Holder;
use super::unique;
use crate::days::DayRanges;
use crate::error::{Error, Result};

const RUNS: &str = "_kpi/runs";

/// How far a manifest may lag behind where every event means writing the whole file again.
const REWRITE_INTERVAL: Duration = Duration::from_secs(2);

/// One step of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestEvent {
    /// RFC 3339, UTC; set when the event is written.
    #[serde(default)]
    pub ts: String,
    /// Set when the event is written.
    #[serde(default)]
    pub run_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kpi: Option<String>,
    pub phase: Phase,
    pub status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Only on the first line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<RunStart>,
}

/// Which stage of a run an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Run,
    Inputs,
    Plan,
    Execute,
    Audit,
    Stage,
    Commit,
    Publish,
    /// Written by a newer program.
    #[serde(other)]
    Unknown,
}

/// How a stage went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Started,
    Done,
    Failed,
    /// Nothing to do, such as a KPI whose inputs did not change.
    Skipped,
    /// Computed, and kept from being published.
    Withheld,
    /// Given up, by will or after a lost race.
    Abandoned,
    /// Written by a newer program.
    #[serde(other)]
    Unknown,
}

/// Who is told of each event of a run as it is written.
#[derive(Clone, Default)]
pub struct EventListener(Option<Arc<Listening>>);

type Listening = dyn Fn(&ManifestEvent) + Send + Sync;

impl EventListener {
    pub fn new(listener: impl Fn(&ManifestEvent) + Send + Sync + 'static) -> Self {
        EventListener(Some(Arc::new(listener)))
    }

    fn tell(&self, event: &ManifestEvent) {
        if let Some(listener) = &self.0 {
            listener(event);
        }
    }
}

impl fmt::Debug for EventListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "a listener" } else { "nobody" })
    }
}

/// What a run set out to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStart {
    pub program: String,
    pub as_of: Option<String>,
    /// Whether that day was named; else it was the one on which the run began.
    #[serde(default)]
    pub is_as_of_fixed: bool,
    pub kpis: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// Whether it was to publish nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Whether it was to compute what had not changed as well.
    #[serde(default)]
    pub force: bool,
    /// Days whose periods it was to compute in any case.
    #[serde(default, skip_serializing_if = "DayRanges::is_empty")]
    pub days: DayRanges,
    /// The version that was the newest when the run began.
    pub parent: Option<u64>,
    pub holder: Holder,
}

impl ManifestEvent {
    pub fn new(phase: Phase, status: Status) -> Self {
        ManifestEvent {
            ts: String::new(),
            run_id: String::new(),
            kpi: None,
            phase,
            status,
            reason: None,
            rows: None,
            elapsed_ms: None,
            error: None,
            start: None,
        }
    }

    pub fn kpi(mut self, kpi: impl Into<String>) -> Self {
        self.kpi = Some(kpi.into());
        self
    }

    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    pub fn rows(mut self, rows: u64) -> Self {
        self.rows = Some(rows);
        self
    }

    pub fn elapsed(mut self, elapsed: Duration) -> Self {
        self.elapsed_ms = Some(elapsed.as_millis().try_into().unwrap_or(u64::MAX));
        self
    }

    pub fn error(mut self, error: &Error) -> Self {
        self.error = Some(error.to_string());
        self
    }
}

/// The events of a run, as far as they can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub events: Vec<ManifestEvent>,
    /// Lines that are no event, mostly one that was being written when the run was killed.
    pub unreadable_lines: usize,
}

/// Reads a run's manifest, or `None` if there is no such run.
pub(super) async fn read(files: &dyn Files, run_id: &str) -> Result<Option<Manifest>> {
    let Some(bytes) = files.read(&path_of(run_id)).await? else { return Ok(None) };
    let mut manifest = Manifest { events: Vec::new(), unreadable_lines: 0 };
    for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line) {
            Ok(event) => manifest.events.push(event),
            Err(_) => manifest.unreadable_lines += 1,
        }
    }
    Ok(Some(manifest))
}

/// The ids of all runs that left a manifest, oldest first.
pub(super) async fn runs(files: &dyn Files) -> Result<Vec<String>> {
    let listed = files.list(RUNS).await?;
    let ids = listed.iter().filter(|file| !file.name.starts_with('.'));
    let mut ids: Vec<String> = ids.filter_map(|file| file.name.strip_suffix(".jsonl").map(str::to_string)).collect();
    ids.sort();
    Ok(ids)
}

/// Writes a manifest line by line.
#[derive(Debug)]
pub(super) struct ManifestWriter {
    files: Arc<dyn Files>,
    run_id: String,
    path: String,
    /// Everything so far, because object stores only take whole files.
    whole: Vec<u8>,
    /// How much of it lies in the store.
    written: usize,
    written_at: Instant,
    listener: EventListener,
}

impl ManifestWriter {
    /// Makes the manifest with its first line. It also tries out whether the store keeps two writers apart.
    pub(super) async fn create(
        files: Arc<dyn Files>,
        run_id: &str,
        first: ManifestEvent,
        listener: EventListener,
    ) -> Result<Self> {
        let path = path_of(run_id);
        let mut writer = ManifestWriter {
            files,
            run_id: run_id.to_string(),
            path,
            whole: Vec::new(),
            written: 0,
            written_at: Instant::now(),
            listener,
        };
        writer.push(first)?;
        let create = || writer.files.create(&writer.path, writer.whole.clone().into());
        if create().await? == Created::Taken {
            return Err(Error::storage(format!("`{}` is there already", writer.files.locate(&writer.path)))
                .with_hint("run again; the next run takes another name"));
        }
        // Without this promise two runs could both commit the same version, and one would vanish without a trace.
        if !writer.files.traits().creates_exclusively && create().await? == Created::Done {
            return Err(ignores_conditions());
        }
        writer.written = writer.whole.len();
        Ok(writer)
    }

    /// Adds a line; it lies in the store when this returns, or within some seconds where that is costly.
    pub(super) async fn event(&mut self, event: ManifestEvent) -> Result<()> {
        self.push(event)?;
        if self.files.traits().extends_cheaply || self.written_at.elapsed() >= REWRITE_INTERVAL {
            self.flush().await?;
        }
        Ok(())
    }

    /// Brings what is still held back into the store.
    pub(super) async fn flush(&mut self) -> Result<()> {
        if self.written == self.whole.len() {
            return Ok(());
        }
        self.written_at = Instant::now();
        let extended = self.files.extend(&self.path, &self.whole, self.written).await;
        self.written = self.whole.len();
        if extended.is_err() {
            // Part of the line may be there: the next one starts afresh.
            self.whole.push(b'\n');
        }
        extended
    }

    fn push(&mut self, mut event: ManifestEvent) -> Result<()> {
        event.ts = unique::timestamp(Utc::now());
        event.run_id = self.run_id.clone();
        serde_json::to_writer(&mut self.whole, &event)
            .map_err(|source| Error::internal("an event cannot be written as JSON").with_source(source))?;
        self.whole.push(b'\n');
        self.listener.tell(&event);
        Ok(())
    }
}

fn path_of(run_id: &str) -> String {
    format!("{RUNS}/{run_id}.jsonl")
}
