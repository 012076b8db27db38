//! Candidates: a run's results on disk, in files that nobody else knows of until a record names them.
//!
//! `data/<kpi>/<run_id>/part-0.parquet` is written once and never touched again. A candidate counts only after it was
//! read back: what lies in the store must be what was computed, with as many rows.

use datafusion::arrow::array::RecordBatch;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::errors::ParquetError;

use super::files::{Bytes, Created, Files};
use super::record::{DataFile, Entry};
use crate::error::{Error, Result};
use crate::materialize::parquet::Stored;

/// A path for a candidate, added to those that the run has written. A KPI that is staged once more takes the next part:
/// no file is ever written twice.
pub(super) fn next_path(kpi: &str, run_id: &str, written: &mut Vec<String>) -> String {
    let folder = format!("data/{kpi}/{run_id}/");
    let part = written.iter().filter(|path| path.starts_with(&folder)).count();
    let path = format!("{folder}part-{part}.parquet");
    written.push(path.clone());
    path
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
    let there = read_checked(files, &file).await?;
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

/// The bytes of a file, if they are the ones that were committed.
pub(super) async fn read_checked(files: &dyn Files, file: &DataFile) -> Result<Bytes> {
    let Some(bytes) = files.read(&file.path).await? else {
        return Err(Error::storage(format!("`{}` is missing", files.locate(&file.path))).with_hint(REPAIR));
    };
    if bytes.len() as u64 != file.bytes || blake3::hash(&bytes).to_hex().as_str() != file.blake3 {
        return Err(damaged(files, file));
    }
    Ok(bytes)
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

pub(super) fn damaged(files: &dyn Files, file: &DataFile) -> Error {
    Error::storage(format!("`{}` is not the file that was written", files.locate(&file.path))).with_hint(REPAIR)
}
