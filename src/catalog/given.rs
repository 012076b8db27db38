//! Rows that stand in the place of a table's files, as tests give them.
//!
//! They are read as the real files would be: in the types of those where they are at hand, else as the texts of a CSV file.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::datasource::MemTable;

use super::csv::guess;
use super::{Format, Source};
use crate::location::no_stores;

/// The rows of one table as texts; nothing stands for NULL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GivenRows {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Option<String>>>,
}

/// What is known of the columns that real rows have.
#[derive(Debug, Clone)]
pub enum Known<'a> {
    /// The files are at hand.
    Files(&'a Source),
    /// These are the columns, in these types.
    Columns(&'a Schema),
    /// Nothing but the names of some columns, and what they are taken for where the given rows do not tell.
    Names(&'a [(String, DataType)]),
}

/// A value that the type of its column does not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadValue {
    pub row: usize,
    pub column: String,
    pub data_type: DataType,
}

/// The rows as a source. Columns that are known and not given are NULL; columns that are given and not known are left out
/// where the columns are known.
///
/// # Errors
/// The values that cannot be read in the types of their columns.
pub fn given(given: &GivenRows, null_values: &[String], known: &Known) -> Result<Source, Vec<BadValue>> {
    let fields: Vec<Field> = match known {
        Known::Files(source) => source.schema().fields().iter().map(|field| field.as_ref().clone()).collect(),
        Known::Columns(schema) => schema.fields().iter().map(|field| field.as_ref().clone()).collect(),
        Known::Names(names) => {
            let others = names.iter().map(|(name, _)| name).filter(|name| !given.columns.contains(name));
            given.columns.iter().chain(others).map(|name| Field::new(name, DataType::Utf8View, true)).collect()
        }
    };
    let is_csv = match known {
        Known::Files(source) => source.format == Format::Csv,
        Known::Columns(_) => false,
        Known::Names(_) => true,
    };
    let mut source = Source {
        provider: Arc::new(MemTable::try_new(Arc::new(Schema::empty()), vec![vec![]]).map_err(|_| Vec::new())?),
        files: Vec::new(),
        format: if is_csv { Format::Csv } else { Format::Parquet },
        suggested_types: Vec::new(),
        empty_columns: Vec::new(),
        stores: no_stores(),
    };
    let (mut columns, mut bad): (Vec<ArrayRef>, Vec<BadValue>) = (Vec::new(), Vec::new());
    for field in &fields {
        let texts = texts(given, field.name(), is_csv);
        if is_csv && field.data_type() == &DataType::Utf8View {
            let values = texts.iter().flatten().filter(|text| !null_values.contains(text)).map(|text| text.trim());
            let looks_like = guess(values);
            let by_name = |names: &[(String, DataType)]| names.iter().find(|(name, _)| name == field.name()).cloned();
            let (of_files, taken_for) = match known {
                Known::Files(files) => (suggested(files, field.name()), None),
                Known::Columns(_) => (None, None),
                Known::Names(names) => (None, by_name(names).map(|(_, data_type)| data_type)),
            };
            if of_files.is_none() && looks_like.is_none() {
                source.empty_columns.push(field.name().clone());
            }
            let data_type = of_files.or(looks_like).or(taken_for).unwrap_or(DataType::Utf8View);
            source.suggested_types.push((field.name().clone(), data_type));
        }
        match column(&texts, field.data_type()) {
            Ok(column) => columns.push(column),
            Err(row) => bad.push(BadValue { row, column: field.name().clone(), data_type: field.data_type().clone() }),
        }
    }
    if !bad.is_empty() {
        return Err(bad);
    }
    let fields = fields.into_iter().map(|field| field.with_nullable(true)).collect::<Vec<_>>();
    let schema = Arc::new(Schema::new(fields));
    // Their number is told apart from the columns, of which there may be none.
    let options = RecordBatchOptions::new().with_row_count(Some(given.rows.len()));
    let rows = RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(|_| Vec::new())?;
    source.provider = Arc::new(MemTable::try_new(schema, vec![vec![rows]]).map_err(|_| Vec::new())?);
    Ok(source)
}

/// The type that the values of a column of real files look like, unless they have none.
fn suggested(files: &Source, column: &str) -> Option<DataType> {
    if files.empty_columns.iter().any(|empty| empty == column) {
        return None;
    }
    files.suggested_types.iter().find(|(name, _)| name == column).map(|(_, data_type)| data_type.clone())
}

/// The texts of a column; an empty one is no value in a CSV file.
fn texts(given: &GivenRows, column: &str, is_csv: bool) -> Vec<Option<String>> {
    let index = given.columns.iter().position(|name| name == column);
    let text = |row: &Vec<Option<String>>| row.get(index?)?.clone().filter(|text| !is_csv || !text.is_empty());
    given.rows.iter().map(text).collect()
}

/// The texts in the type of a column, or the first row whose text has no such type.
fn column(texts: &[Option<String>], data_type: &DataType) -> Result<ArrayRef, usize> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let is_text = matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let read = |texts: &[Option<String>]| {
        let texts = texts.iter().map(|text| text.as_deref().map(|text| if is_text { text } else { text.trim() }));
        let texts: StringArray = texts.collect();
        if texts.null_count() == texts.len() {
            return Ok(datafusion::arrow::array::new_null_array(data_type, texts.len()));
        }
        cast_with_options(&texts, data_type, &strict)
    };
    read(texts).map_err(|_| {
        let fits = |index: &usize| read(&texts[*index..index + 1]).is_ok();
        (0..texts.len()).find(|index| !fits(index)).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(columns: &[&str], rows: &[&[Option<&str>]]) -> GivenRows {
        GivenRows {
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            rows: rows.iter().map(|row| row.iter().map(|cell| cell.map(str::to_owned)).collect()).collect(),
        }
    }

    #[test]
    fn unknown_columns_are_what_their_values_look_like() {
        let given_rows =
            rows(&["amount", "code", "note"], &[&[Some("1.5"), Some("007"), None], &[Some("NA"), None, None]]);
        let names = [("other".to_owned(), DataType::Utf8View), ("day".to_owned(), DataType::Date32)];
        let source = given(&given_rows, &["NA".to_owned()], &Known::Names(&names)).unwrap();
        let text = DataType::Utf8View;
        let types: Vec<DataType> = source.suggested_types.iter().map(|(_, data_type)| data_type.clone()).collect();
        assert_eq!(types, [DataType::Float64, text.clone(), text.clone(), text, DataType::Date32]);
        assert_eq!(source.empty_columns, ["note", "other", "day"]);
    }

    #[test]
    fn known_columns_give_the_types() {
        let schema =
            Schema::new(vec![Field::new("day", DataType::Date32, false), Field::new("n", DataType::Int64, true)]);
        let source = given(&rows(&["day"], &[&[Some("2025-01-05")], &[None]]), &[], &Known::Columns(&schema)).unwrap();
        assert_eq!(source.schema().fields().len(), 2);
        let bad = given(&rows(&["n"], &[&[Some("1")], &[Some("many")]]), &[], &Known::Columns(&schema)).unwrap_err();
        assert_eq!(bad, [BadValue { row: 1, column: "n".into(), data_type: DataType::Int64 }]);
    }
}
