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
    write(schema, batches).map_err(|source| cannot_encode("Parquet", source))
}

fn write(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<u8>, ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        // A fixed name: the version of a library is no reason for a result to differ.
        .set_created_by("kpi".to_string())
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties))?;
    writer.write(&as_one_batch(schema, batches)?)?;
    writer.into_inner()
}
