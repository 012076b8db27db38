//! JSON: an array with one object per row, columns in their order, one row per line.
//!
//! Numbers keep their exact digits (a decimal `0.50` stays `0.50`), whatever tells time is ISO 8601 text, NULL is
//! `null`. JSON has no word for NaN and infinity; such a value is refused rather than turned into something else.

use std::collections::HashSet;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, make_array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Fields, Float64Type, SchemaRef};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use super::{cannot_encode, cell_text, text_of, text_options};
use crate::error::{Error, Result};

/// One JSON document with all rows.
pub fn encode(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<u8>> {
    refuse_repeated_names(schema.fields())?;
    let mut out = String::from("[");
    let mut rows_before = 0;
    for batch in batches {
        for row in objects(batch, rows_before)? {
            out.push_str(if rows_before == 0 { "\n" } else { ",\n" });
            out.push_str(&row);
            rows_before += 1;
        }
    }
    out.push_str(if rows_before == 0 { "]\n" } else { "\n]\n" });
    Ok(out.into_bytes())
}

/// An object for each row, of which so many came before.
///
/// # Errors
/// `Execution` where a value has no word in JSON, or two columns have one name.
pub fn objects(batch: &RecordBatch, rows_before: usize) -> Result<Vec<String>> {
    let options = text_options();
    let fields = batch.schema_ref().fields();
    refuse_repeated_names(fields)?;
    let columns = prepare(fields, batch.columns())?;
    let columns = columns
        .iter()
        .map(|(name, array)| Ok((name.as_str(), Column::new(array, &options)?)))
        .collect::<Result<Vec<_>>>()?;
    let object = |row: usize| {
        let mut out = String::from("{");
        for (index, (name, column)) in columns.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            push_string(&mut out, name);
            out.push(':');
            column.push(&mut out, row, name).map_err(|error| {
                // Rows are counted from one, over all batches, as a reader of the output would.
                error.with_context("place", format!("column `{name}`, row {}", rows_before + row + 1))
            })?;
        }
        out.push('}');
        Ok(out)
    };
    (0..batch.num_rows()).map(object).collect()
}

fn refuse_repeated_names(fields: &Fields) -> Result<()> {
    let mut seen = HashSet::new();
    match fields.iter().find(|field| !seen.insert(field.name())) {
        None => Ok(()),
        Some(field) => Err(Error::execution(format!("two columns are named `{}`", field.name()))
            .with_hint("give each column a name of its own; an object of JSON cannot hold one name twice")),
    }
}

/// The columns with dictionaries and run-length encodings undone, so that [`Column`] need not know them.
fn prepare(fields: &Fields, columns: &[ArrayRef]) -> Result<Vec<(String, ArrayRef)>> {
    fields.iter().zip(columns).map(|(field, array)| Ok((field.name().clone(), plain(array)?))).collect()
}

fn plain(array: &ArrayRef) -> Result<ArrayRef> {
    let values = match array.data_type() {
        DataType::Dictionary(_, values) => values.as_ref().clone(),
        DataType::RunEndEncoded(_, values) => values.data_type().clone(),
        _ => return Ok(make_array(array.to_data())),
    };
    cast(array, &values).map_err(|source| cannot_encode("JSON", source))
}

/// One column, seen as what JSON can say.
struct Column<'a> {
    array: &'a dyn Array,
    words: Words<'a>,
}

enum Words<'a> {
    /// Numbers and booleans, whose text is JSON already.
    Bare(ArrayFormatter<'a>),
    /// Numbers that may be NaN or infinite.
    Float(ArrayFormatter<'a>, ArrayRef),
    Quoted(ArrayFormatter<'a>),
    /// Lists and structs: the value of a row is encoded by itself, as these are rare in results.
    List,
    Struct(&'a Fields),
}

impl<'a> Column<'a> {
    fn new(array: &'a ArrayRef, options: &'a FormatOptions<'a>) -> Result<Self> {
        let words = match array.data_type() {
            DataType::Boolean => Words::Bare(text_of(array, options)?),
            DataType::Float16 | DataType::Float32 | DataType::Float64 => {
                let doubles = cast(array, &DataType::Float64).map_err(|source| cannot_encode("JSON", source))?;
                Words::Float(text_of(array, options)?, doubles)
            }
            number if number.is_numeric() => Words::Bare(text_of(array, options)?),
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(_, _) => Words::List,
            DataType::Struct(fields) => Words::Struct(fields),
            _ => Words::Quoted(text_of(array, options)?),
        };
        Ok(Column { array, words })
    }

    fn push(&self, out: &mut String, row: usize, name: &str) -> Result<()> {
        if self.array.is_null(row) || self.array.data_type() == &DataType::Null {
            out.push_str("null");
            return Ok(());
        }
        match &self.words {
            Words::Bare(formatter) => out.push_str(&cell_text(formatter, row, name)?),
            Words::Float(formatter, doubles) => {
                let value = doubles.as_primitive::<Float64Type>().value(row);
                if !value.is_finite() {
                    return Err(Error::execution(format!("JSON has no number for `{value}`"))
                        .with_hint("let the definition give NULL here, or write CSV or Parquet"));
                }
                out.push_str(&cell_text(formatter, row, name)?);
            }
            Words::Quoted(formatter) => push_string(out, &cell_text(formatter, row, name)?),
            Words::List => {
                let values = match self.array.data_type() {
                    DataType::List(_) => self.array.as_list::<i32>().value(row),
                    DataType::LargeList(_) => self.array.as_list::<i64>().value(row),
                    _ => self.array.as_fixed_size_list().value(row),
                };
                let values = plain(&values)?;
                let options = text_options();
                let items = Column::new(&values, &options)?;
                out.push('[');
                for index in 0..values.len() {
                    if index > 0 {
                        out.push(',');
                    }
                    items.push(out, index, name)?;
                }
                out.push(']');
            }
            Words::Struct(fields) => {
                let options = text_options();
                out.push('{');
                for (index, (field, values)) in fields.iter().zip(self.array.as_struct().columns()).enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    push_string(out, field.name());
                    out.push(':');
                    let value = plain(&values.slice(row, 1))?;
                    Column::new(&value, &options)?.push(out, 0, name)?;
                }
                out.push('}');
            }
        }
        Ok(())
    }
}

fn push_string(out: &mut String, text: &str) {
    // `Value` writes text with exactly the escapes of JSON.
    out.push_str(&serde_json::Value::from(text).to_string());
}
