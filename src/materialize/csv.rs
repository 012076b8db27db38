//! CSV after RFC 4180: a header, quotes only where they are needed, NULL as an empty field, times in ISO 8601.
//!
//! Two liberties: lines end with a line feed alone, which every reader takes and line-based tools need; and an empty
//! text looks like NULL, because the format has no word that tells them apart.

use ::csv::{QuoteStyle, Terminator, Writer, WriterBuilder};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;

use super::{cannot_encode, cell_text, text_of, text_options};
use crate::error::Result;

/// One CSV file with a header and all rows.
pub fn encode(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let mut bytes = header(schema)?;
    for batch in batches {
        bytes.extend(rows(batch)?);
    }
    Ok(bytes)
}

/// The line with the names of the columns.
pub fn header(schema: &SchemaRef) -> Result<Vec<u8>> {
    let mut writer = writer();
    let names = schema.fields().iter().map(|field| field.name());
    writer.write_record(names).map_err(|source| cannot_encode("CSV", source))?;
    finished(writer)
}

/// Rows without a header.
pub fn rows(batch: &RecordBatch) -> Result<Vec<u8>> {
    let mut writer = writer();
    let options = text_options();
    let columns = batch.columns().iter().map(|column| text_of(column, &options)).collect::<Result<Vec<_>>>()?;
    let fields = batch.schema_ref().fields();
    for row in 0..batch.num_rows() {
        for (column, field) in columns.iter().zip(fields) {
            let text = cell_text(column, row, field.name())?;
            writer.write_field(text).map_err(|source| cannot_encode("CSV", source))?;
        }
        writer.write_record(None::<&[u8]>).map_err(|source| cannot_encode("CSV", source))?;
    }
    finished(writer)
}

fn writer() -> Writer<Vec<u8>> {
    WriterBuilder::new().quote_style(QuoteStyle::Necessary).terminator(Terminator::Any(b'\n')).from_writer(Vec::new())
}

fn finished(writer: Writer<Vec<u8>>) -> Result<Vec<u8>> {
    writer.into_inner().map_err(|failure| cannot_encode("CSV", failure.into_error()))
}
