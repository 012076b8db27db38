//! A table in GitHub's Markdown, padded so that it also reads well as plain text; numbers are aligned to the right.
//!
//! It escapes what would break the table (pipes and line breaks) and leaves all other Markdown in the data alone.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;

use super::{cell_text, text_of, text_options};
use crate::error::Result;

/// One table with a header and all rows.
pub fn encode(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let mut rows = vec![schema.fields().iter().map(|field| escape(field.name())).collect::<Vec<_>>()];
    let options = text_options();
    for batch in batches {
        let columns = batch.columns().iter().map(|column| text_of(column, &options)).collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            let cells = columns
                .iter()
                .zip(schema.fields())
                .map(|(column, field)| Ok(escape(&cell_text(column, row, field.name())?)))
                .collect::<Result<Vec<_>>>()?;
            rows.push(cells);
        }
    }

    // A rule needs three dashes, and a colon more where it aligns.
    let columns: Vec<(usize, bool)> = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(column, field)| {
            let is_number = field.data_type().is_numeric();
            let widest = rows.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
            (widest.max(3 + usize::from(is_number)), is_number)
        })
        .collect();

    let mut out = String::new();
    for (index, cells) in rows.iter().enumerate() {
        push_row(
            &mut out,
            cells.iter().zip(&columns).map(|(cell, &(width, is_number))| {
                if is_number { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            }),
        );
        if index == 0 {
            push_row(
                &mut out,
                columns.iter().map(
                    |&(width, is_number)| {
                        if is_number { format!("{}:", "-".repeat(width - 1)) } else { "-".repeat(width) }
                    },
                ),
            );
        }
    }
    Ok(out.into_bytes())
}

fn push_row(out: &mut String, cells: impl Iterator<Item = String>) {
    out.push('|');
    for cell in cells {
        out.push(' ');
        out.push_str(&cell);
        out.push_str(" |");
    }
    out.push('\n');
}

fn escape(text: &str) -> String {
    text.replace('|', "\\|").replace("\r\n", "<br>").replace(['\n', '\r'], "<br>")
}
