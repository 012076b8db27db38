//! Parquet, the format in which results are kept: compressed with zstd, one file, no clock in its metadata.
//!
//! It does not partition or sort; the rows are written in the order in which they come.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::properties::WriterProperties;

use super::{as_one_batch, cannot_encode};
use crate::error::Result;

/// One Parquet file with all rows.
pub fn encode(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let whole = as_one_batch(schema, batches).map_err(|source| cannot_encode("Parquet", source))?;
    let mut encoder = Encoder::new(schema)?;
    encoder.add(&whole)?;
    encoder.finish()
}

/// A Parquet file whose rows come piece by piece, so that they need not all be there at once. Where they are cut may be seen
/// in its bytes.
pub struct Encoder {
    writer: ArrowWriter<Vec<u8>>,
}

impl Encoder {
    pub fn new(schema: &SchemaRef) -> Result<Encoder> {
        let writer = writer(schema).map_err(|source| cannot_encode("Parquet", source))?;
        Ok(Encoder { writer })
    }

    pub fn add(&mut self, rows: &RecordBatch) -> Result<()> {
        self.writer.write(rows).map_err(|source| cannot_encode("Parquet", source))
    }

    /// The bytes of the file.
    pub fn finish(self) -> Result<Vec<u8>> {
        self.writer.into_inner().map_err(|source| cannot_encode("Parquet", source))
    }
}

fn writer(schema: &SchemaRef) -> Result<ArrowWriter<Vec<u8>>, ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        // A fixed name: the version of a library is no reason for a result to differ.
        .set_created_by("kpi".to_string())
        .build();
    ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties))
}
