//! The Arrow IPC file format ("Feather V2"), for readers that map columns into memory.
//!
//! It is not compressed, so that such readers need no codec.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;

use datafusion::arrow::ipc::writer::FileWriter;

use super::{as_one_batch, cannot_encode};
use crate::error::Result;

/// An Arrow IPC file that comes piece by piece, so that it need not all be there at once.
pub struct Encoder {
    writer: FileWriter<Vec<u8>>,
}

impl Encoder {
    pub fn new(schema: &SchemaRef) -> Result<Encoder> {
        let writer = FileWriter::try_new(Vec::new(), schema).map_err(|source| cannot_encode("Arrow IPC", source))?;
        Ok(Encoder { writer })
    }

    /// Adds rows as one batch, and gives the bytes that are written since the last one.
    pub fn add(&mut self, rows: &RecordBatch) -> Result<Vec<u8>> {
        self.writer.write(rows).map_err(|source| cannot_encode("Arrow IPC", source))?;
        Ok(std::mem::take(self.writer.get_mut()))
    }

    /// The bytes of the file that were not given yet.
    pub fn finish(self) -> Result<Vec<u8>> {
        self.writer.into_inner().map_err(|source| cannot_encode("Arrow IPC", source))
    }
}

/// One Arrow IPC file with all rows.
pub fn encode(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let mut encoder = Encoder::new(schema)?;
    let whole = as_one_batch(schema, batches).map_err(|source| cannot_encode("Arrow IPC", source))?;
    let mut bytes = encoder.add(&whole)?;
    bytes.extend(encoder.finish()?);
    Ok(bytes)
}
