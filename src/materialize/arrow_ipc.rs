//! The Arrow IPC file format ("Feather V2"), for readers that map columns into memory.
//!
//! It is not compressed, so that such readers need no codec.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::ipc::writer::FileWriter;

use super::{as_one_batch, cannot_encode};
use crate::error::Result;

/// One Arrow IPC file with all rows.
pub fn encode(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<u8>> {
    write(schema, batches).map_err(|source| cannot_encode("Arrow IPC", source))
}

fn write(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<u8>, ArrowError> {
    let mut writer = FileWriter::try_new(Vec::new(), schema)?;
    writer.write(&as_one_batch(schema, batches)?)?;
    writer.into_inner()
}
