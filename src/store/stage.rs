//! Candidates: a run's results on disk, in files that nobody else knows of until a record names them.
//!
//! `data/<kpi>/<run_id>/part-0.parquet` is written once and never touched again. A candidate counts only after it was
//! read back: what lies in the store must be what was computed, with as many rows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::errors::ParquetError;

use super::files::{Bytes, Created, Files};
use super::publish;
use super::record::{DataFile, Entry};
use crate::error::{Error, Result};
use crate::materialize::parquet::Stored;

/// The paths of all files that a run wrote or tried to write. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Written(Arc<Mutex<Vec<String>>>);

impl Written {
    fn paths(&self) -> MutexGuard<'_, Vec<String>> {
        // Paths are added and taken as a whole, so a thread that panicked left none behind half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A path for a candidate, which counts as written from now on. A KPI that is staged once more takes the next part: no
    /// file is ever written twice.
    pub fn next_path(&self, kpi: &str, run_id: &str) -> String {
        let mut paths = self.paths();
        let folder = format!("data/{kpi}/{run_id}/");
        let part = paths.iter().filter(|path| path.starts_with(&folder)).count();
        let path = format!("{folder}part-{part}.parquet");
        paths.push(path.clone());
        path
    }

    pub fn contains(&self, path: &str) -> bool {
        self.paths().iter().any(|known| known == path)
    }

    /// Forgets some paths and returns them.
    pub fn take(&self, is_meant: impl Fn(&str) -> bool) -> Vec<String> {
        self.paths().extract_if(.., |path| is_meant(path)).collect()
    }
}

/// Writes an encoded table to a path of its own, and reads it back.
pub(super) async fn write(files: &dyn Files, path: String, encoded: Vec<u8>, rows: u64) -> Result<DataFile> {
    let bytes = Bytes::from(encoded);
    let blake3 = blake3::hash(&bytes).to_hex().to_string();
    let file = DataFile { path, bytes: bytes.len() as u64, rows, blake3, groups: Vec::new() };
    match files.create(&file.path, bytes).await? {
        // If the file is there already, an earlier answer may have been lost; its content decides.
        Created::Done | Created::Taken => {}
    }
    let there = files.read(&file.path).await?.filter(|there| is_it(there, &file));
    let there = there.ok_or_else(|| damaged(files, &file))?;
    let rows = rows_in_footer(there).map_err(|source| damaged(files, &file).with_source(source))?;
    if rows != file.rows {
        return Err(damaged(files, &file).with_context("rows computed", file.rows).with_context("rows written", rows));
    }
    Ok(file)
}

/// The rows of an entry, in at least one batch, so that the schema is always there.
pub(super) async fn read(files: &dyn Files, entry: &Entry) -> Result<Vec<RecordBatch>> {
    let mut batches = Vec::new();
    for file in &entry.files {
        let bytes = read_checked(files, file).await?;
        batches.extend(decode(bytes).map_err(|source| damaged(files, file).with_source(source))?);
    }
    Ok(batches)
}

/// The one file of an entry, of which parts can be read; `None` where it has several.
pub(super) async fn open(files: &dyn Files, entry: &Entry) -> Result<Option<Stored>> {
    let [file] = entry.files.as_slice() else { return Ok(None) };
    let bytes = read_checked(files, file).await?;
    Stored::open(bytes).map(Some).map_err(|source| damaged(files, file).with_source(source))
}

/// The files of an entry; `None` where one of them is gone or damaged and nobody needs it to be there.
pub(super) async fn open_all(files: &dyn Files, entry: &Entry, is_needed: bool) -> Result<Option<Vec<Stored>>> {
    let mut opened = Vec::with_capacity(entry.files.len());
    for file in &entry.files {
        let bytes = match find(files, file).await? {
            Ok(bytes) => bytes,
            Err(error) if is_needed => return Err(error),
            Err(_) => return Ok(None),
        };
        opened.push(Stored::open(bytes).map_err(|source| damaged(files, file).with_source(source))?);
    }
    Ok(Some(opened))
}

/// The rows of a group of a file that was checked.
pub(super) fn rows_of(stored: &Stored, group: usize) -> Result<RecordBatch> {
    let broken = |source: ParquetError| Error::storage("a published file cannot be read").with_source(source);
    let batches = stored.read(vec![group]).map_err(broken)?;
    concat_batches(stored.schema(), &batches).map_err(|source| broken(source.into()))
}

/// The bytes of a file, if they are the ones that were committed.
pub(super) async fn read_checked(files: &dyn Files, file: &DataFile) -> Result<Bytes> {
    find(files, file).await?
}

/// The bytes of a file, or how they are not the ones that were committed; an error is that nobody could look.
async fn find(files: &dyn Files, file: &DataFile) -> Result<Result<Bytes>> {
    let found = files.read(&file.path).await?;
    let is_missing = found.is_none();
    if let Some(bytes) = found.filter(|found| is_it(found, file)) {
        return Ok(Ok(bytes));
    }
    // The plain copy may still have what somebody deleted.
    if let Some(copy) = publish::copy_of_path(&file.path)
        && let Some(bytes) = files.read(&copy).await?.filter(|copy| is_it(copy, file))
    {
        return Ok(Ok(bytes));
    }
    Ok(Err(match is_missing {
        true => Error::storage(format!("`{}` is missing", files.locate(&file.path))).with_hint(REPAIR),
        false => damaged(files, file),
    }))
}

fn is_it(bytes: &Bytes, file: &DataFile) -> bool {
    bytes.len() as u64 == file.bytes && blake3::hash(bytes).to_hex().as_str() == file.blake3
}

/// The rows of a Parquet file, in at least one batch.
pub(super) fn decode(bytes: Bytes) -> Result<Vec<RecordBatch>, ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let schema = builder.schema().clone();
    let mut batches = builder.build()?.collect::<Result<Vec<_>, _>>()?;
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(schema));
    }
    Ok(batches)
}

fn rows_in_footer(bytes: Bytes) -> Result<u64, ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    Ok(builder.metadata().file_metadata().num_rows().try_into().unwrap_or(0))
}

const REPAIR: &str = "restore it from a backup, or compute the KPI again";

fn damaged(files: &dyn Files, file: &DataFile) -> Error {
    Error::storage(format!("`{}` is not the file that was written", files.locate(&file.path))).with_hint(REPAIR)
}
