//! The Arrow IPC file format ("Feather V2"), for readers that map columns into memory.
//!
//! It is not compressed, so that such readers need no codec. A column with a dictionary becomes one of its values: a file has
//! one dictionary for all its batches, and parts of it come before all of them are known.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::arrow::ipc::writer::FileWriter;

use super::{as_one_batch, cannot_encode};
use crate::error::Result;

/// An Arrow IPC file that comes piece by piece, so that it need not all be there at once.
pub struct Encoder {
    schema: SchemaRef,
    writer: FileWriter<Vec<u8>>,
}

impl Encoder {
    pub fn new(schema: &SchemaRef) -> Result<Encoder> {
        let fields = schema.fields().iter().map(|field| match field.data_type() {
            DataType::Dictionary(_, values) => Arc::new(field.as_ref().clone().with_data_type(values.as_ref().clone())),
            _ => field.clone(),
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let writer = FileWriter::try_new(Vec::new(), &schema).map_err(|source| cannot_encode("Arrow IPC", source))?;
        Ok(Encoder { schema, writer })
    }

    /// Adds rows as one batch, and gives the bytes that are written since the last one.
    pub fn add(&mut self, rows: &RecordBatch) -> Result<Vec<u8>> {
        let columns = rows.columns().iter().zip(self.schema.fields());
        let columns = columns.map(|(column, field)| cast(column, field.data_type())).collect::<Result<Vec<_>, _>>();
        let plain = columns.and_then(|columns| RecordBatch::try_new(self.schema.clone(), columns));
        let written = plain.and_then(|plain| self.writer.write(&plain));
        written.map_err(|source| cannot_encode("Arrow IPC", source))?;
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
