//! Parquet, the format in which results are kept: compressed with zstd, one file, no clock in its metadata.
//!
//! Rows lie in groups of some thousands, so that a file of which little changes takes over the groups of the one before as
//! they are, without reading them. It does not partition or sort; the rows are written in the order in which they come.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use datafusion::parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, compute_leaves};
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::column::writer::ColumnCloseResult;
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::parquet::file::statistics::Statistics;
use datafusion::parquet::file::writer::SerializedFileWriter;

use super::{as_one_batch, cannot_encode};
use crate::error::{Error, Result};
use crate::location::Bytes;

/// So many rows lie in a group, or up to twice as many.
const ROWS_IN_A_GROUP: usize = 8_192;

/// One Parquet file with all rows.
pub fn encode(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let whole = as_one_batch(schema, batches).map_err(|source| cannot_encode("Parquet", source))?;
    let mut encoder = Encoder::new(schema)?;
    encoder.add(&whole)?;
    encoder.finish()
}

/// A Parquet file that comes piece by piece, so that it need not all be there at once. Where its rows are cut may be seen in
/// its bytes.
pub struct Encoder {
    schema: SchemaRef,
    writer: SerializedFileWriter<Vec<u8>>,
    groups: ArrowRowGroupWriterFactory,
}

impl Encoder {
    pub fn new(schema: &SchemaRef) -> Result<Encoder> {
        let writer = writer(schema).and_then(ArrowWriter::into_serialized_writer);
        let (writer, groups) = writer.map_err(|source| cannot_encode("Parquet", source))?;
        Ok(Encoder { schema: schema.clone(), writer, groups })
    }

    /// Adds rows in as many groups as they need.
    pub fn add(&mut self, rows: &RecordBatch) -> Result<()> {
        let count = rows.num_rows();
        let groups = (count / ROWS_IN_A_GROUP).max(1);
        let start = |group: usize| group * count / groups;
        (0..groups).try_for_each(|group| self.add_group(&rows.slice(start(group), start(group + 1) - start(group))))
    }

    /// Adds rows as one group; none make none.
    pub fn add_group(&mut self, rows: &RecordBatch) -> Result<()> {
        match rows.num_rows() {
            0 => Ok(()),
            _ => self.write_group(rows).map_err(|source| cannot_encode("Parquet", source)),
        }
    }

    fn write_group(&mut self, rows: &RecordBatch) -> Result<(), ParquetError> {
        let index = self.writer.flushed_row_groups().len();
        let mut columns = self.groups.create_column_writers(index)?.into_iter();
        let mut group = self.writer.next_row_group()?;
        for (field, array) in self.schema.fields().iter().zip(rows.columns()) {
            for leaf in compute_leaves(field, array)? {
                let missing = || ParquetError::General("a column has no writer".into());
                let mut column = columns.next().ok_or_else(missing)?;
                column.write(&leaf)?;
                column.close()?.append_to_row_group(&mut group)?;
            }
        }
        group.close().map(drop)
    }

    /// Takes over a group of another file with the same columns, as it is.
    pub fn keep(&mut self, stored: &Stored, group: usize) -> Result<()> {
        if stored.schema().fields() != self.schema.fields() {
            return Err(Error::internal("a group of rows was to be kept in a file with other columns"));
        }
        self.copy_group(stored, group).map_err(|source| cannot_encode("Parquet", source))
    }

    fn copy_group(&mut self, stored: &Stored, group: usize) -> Result<(), ParquetError> {
        let metadata = stored.metadata();
        let (from, mut to) = (metadata.row_group(group), self.writer.next_row_group()?);
        for (index, column) in from.columns().iter().enumerate() {
            let column_index = metadata.column_index().and_then(|groups| groups.get(group)?.get(index)).cloned();
            let offset_index = metadata.offset_index().and_then(|groups| groups.get(group)?.get(index)).cloned();
            let chunk = ColumnCloseResult {
                bytes_written: column.compressed_size().try_into().unwrap_or(0),
                rows_written: from.num_rows().try_into().unwrap_or(0),
                metadata: column.clone(),
                bloom_filter: None,
                column_index,
                offset_index,
            };
            to.append_column(&stored.bytes, chunk)?;
        }
        to.close().map(drop)
    }

    /// The bytes that are written since this was asked last, so that they need not all be kept.
    pub fn take(&mut self) -> Result<Vec<u8>> {
        self.writer.flush().map_err(|source| cannot_encode("Parquet", source))?;
        Ok(std::mem::take(self.writer.inner_mut()))
    }

    /// The bytes of the file that were not taken.
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

/// A Parquet file at hand, of which groups of rows can be read one by one.
#[derive(Debug, Clone)]
pub struct Stored {
    bytes: Bytes,
    footer: ArrowReaderMetadata,
}

impl Stored {
    /// # Errors
    /// Where the bytes are no Parquet file.
    pub fn open(bytes: Bytes) -> Result<Stored, ParquetError> {
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let footer = ArrowReaderMetadata::load(&bytes, options)?;
        Ok(Stored { bytes, footer })
    }

    fn metadata(&self) -> &Arc<ParquetMetaData> {
        self.footer.metadata()
    }

    pub fn schema(&self) -> &SchemaRef {
        self.footer.schema()
    }

    /// How many groups there are.
    pub fn groups(&self) -> usize {
        self.metadata().num_row_groups()
    }

    /// How many rows a group has.
    pub fn rows_of(&self, group: usize) -> usize {
        self.metadata().row_group(group).num_rows().try_into().unwrap_or(0)
    }

    /// The rows of some groups, in at least one batch, so that the columns are always there.
    ///
    /// # Errors
    /// Where the file is damaged.
    pub fn read(&self, groups: Vec<usize>) -> Result<Vec<RecordBatch>, ParquetError> {
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(self.bytes.clone(), self.footer.clone());
        let mut batches = reader.with_row_groups(groups).build()?.collect::<Result<Vec<_>, _>>()?;
        if batches.is_empty() {
            batches.push(RecordBatch::new_empty(self.schema().clone()));
        }
        Ok(batches)
    }

    /// The text that a column has in every row of a group, where there is one and the footer says so.
    pub fn only_text(&self, group: usize, column: &str) -> Option<&str> {
        let Statistics::ByteArray(known) = self.statistics(group, column)? else { return None };
        let (min, max) = (known.min_opt()?, known.max_opt()?);
        let is_exact = known.min_is_exact() && known.max_is_exact() && known.null_count_opt() == Some(0);
        if is_exact && min == max { min.as_utf8().ok() } else { None }
    }

    /// The least and the largest of the days that a column has in a group, counted from 1970-01-01.
    pub fn days(&self, group: usize, column: &str) -> Option<(i32, i32)> {
        let Statistics::Int32(known) = self.statistics(group, column)? else { return None };
        let is_whole = known.min_is_exact() && known.max_is_exact() && known.null_count_opt() == Some(0);
        known.min_opt().copied().zip(known.max_opt().copied()).filter(|_| is_whole)
    }

    fn statistics(&self, group: usize, column: &str) -> Option<&Statistics> {
        let (index, _) = self.schema().column_with_name(column)?;
        self.metadata().row_group(group).columns().get(index)?.statistics()
    }

    /// A name for what a group holds: the same bytes may be other values in columns of other types.
    pub fn digest(&self, group: usize) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(format!("{:?}", self.schema().fields()).as_bytes());
        for column in self.metadata().row_group(group).columns() {
            let (start, length) = column.byte_range();
            let range = usize::try_from(start).ok().zip(usize::try_from(start + length).ok());
            hasher.update(range.and_then(|(start, end)| self.bytes.get(start..end)).unwrap_or_default());
            hasher.update(&length.to_le_bytes());
        }
        hasher.finalize().to_hex()[..32].to_owned()
    }
}
