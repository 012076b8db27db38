//! Encoders: record batches in, the bytes of one file out, one format per file of this folder.
//!
//! They are pure: no clock, no file, no network, and equal batches give equal bytes. Choosing a format and writing the
//! bytes somewhere belong to the callers; a format is added as one more file with an `encode` of the same signature.

pub mod arrow_ipc;
pub mod csv;
pub mod json;
pub mod markdown;
pub mod parquet;

use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, DurationFormat, FormatOptions};

use crate::error::{Error, Result};

/// How the text formats write a cell: ISO 8601 for everything that tells time, nothing for NULL.
fn text_options() -> FormatOptions<'static> {
    FormatOptions::new().with_null("").with_display_error(false).with_duration_format(DurationFormat::ISO8601)
}

/// The text of each cell of one column.
fn text_of<'a>(column: &'a dyn Array, options: &'a FormatOptions<'a>) -> Result<ArrayFormatter<'a>> {
    ArrayFormatter::try_new(column, options).map_err(|source| cannot_encode("text", source))
}

/// The text of one cell, where a value outside the calendar is an error and not a word in the output.
fn cell_text(formatter: &ArrayFormatter<'_>, row: usize, column: &str) -> Result<String> {
    formatter.value(row).try_to_string().map_err(|source| cannot_encode("text", source).with_context("column", column))
}

fn cannot_encode(format: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::execution(format!("the result cannot be written as {format}")).with_source(source)
}

/// All rows as one batch, so that the bytes do not depend on where a query happened to cut its batches.
fn as_one_batch(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch, ArrowError> {
    concat_batches(schema, batches)
}

#[cfg(test)]
mod tests {
    //! The same small table goes through every encoder, so that the outputs can be compared side by side.

    use std::sync::Arc;

    use datafusion::arrow::array::*;
    use datafusion::arrow::datatypes::{DataType, Field, Int32Type, Schema};
    use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    fn sample() -> (SchemaRef, Vec<RecordBatch>) {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("kpi", Arc::new(StringArray::from(vec![Some("re,ven\"ue"), Some("a|b\nc"), None]))),
            ("period_start", Arc::new(Date32Array::from(vec![Some(0), Some(20_000), None]))),
            (
                "value",
                Arc::new(
                    Decimal128Array::from(vec![Some(1_234_567), Some(-50), None])
                        .with_precision_and_scale(20, 2)
                        .expect("a valid decimal type"),
                ),
            ),
            ("ratio", Arc::new(Float64Array::from(vec![Some(0.1), Some(1e21), None]))),
            ("n", Arc::new(Int64Array::from(vec![Some(9_007_199_254_740_993), Some(-1), None]))),
            ("is_complete", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
            (
                "seen_at",
                Arc::new(
                    TimestampMicrosecondArray::from(vec![Some(1_700_000_000_123_456), Some(0), None])
                        .with_timezone("UTC"),
                ),
            ),
        ];
        let schema = Arc::new(Schema::new(
            columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect::<Vec<_>>(),
        ));
        let batch =
            RecordBatch::try_new(schema.clone(), columns.into_iter().map(|(_, array)| array).collect()).unwrap();
        // Two batches, because results come in several.
        (schema, vec![batch.slice(0, 1), batch.slice(1, 2)])
    }

    fn one_column(array: ArrayRef) -> (SchemaRef, Vec<RecordBatch>) {
        let schema = Arc::new(Schema::new(vec![Field::new("value", array.data_type().clone(), true)]));
        let batch = RecordBatch::try_new(schema.clone(), vec![array]).unwrap();
        (schema, vec![batch])
    }

    fn text(encode: fn(&SchemaRef, &[RecordBatch]) -> Result<Vec<u8>>, table: (SchemaRef, Vec<RecordBatch>)) -> String {
        String::from_utf8(encode(&table.0, &table.1).unwrap()).unwrap()
    }

    #[test]
    fn csv_is_rfc_4180() {
        assert_eq!(
            text(csv::encode, sample()),
            "kpi,period_start,value,ratio,n,is_complete,seen_at\n\
             \"re,ven\"\"ue\",1970-01-01,12345.67,0.1,9007199254740993,true,2023-11-14T22:13:20.123456Z\n\
             \"a|b\nc\",2024-10-04,-0.50,1e21,-1,false,1970-01-01T00:00:00Z\n\
             ,,,,,,\n"
        );
    }

    #[test]
    fn csv_of_no_rows_is_its_header() {
        let (schema, _) = sample();
        assert_eq!(text(csv::encode, (schema, vec![])), "kpi,period_start,value,ratio,n,is_complete,seen_at\n");
    }

    #[test]
    fn json_keeps_digits_and_order() {
        assert_eq!(
            text(json::encode, sample()),
            concat!(
                "[\n",
                r#"{"kpi":"re,ven\"ue","period_start":"1970-01-01","value":12345.67,"ratio":0.1,"n":9007199254740993,"is_complete":true,"seen_at":"2023-11-14T22:13:20.123456Z"},"#,
                "\n",
                r#"{"kpi":"a|b\nc","period_start":"2024-10-04","value":-0.50,"ratio":1e21,"n":-1,"is_complete":false,"seen_at":"1970-01-01T00:00:00Z"},"#,
                "\n",
                r#"{"kpi":null,"period_start":null,"value":null,"ratio":null,"n":null,"is_complete":null,"seen_at":null}"#,
                "\n]\n"
            )
        );
        let (schema, _) = sample();
        assert_eq!(text(json::encode, (schema, vec![])), "[]\n");
    }

    #[test]
    fn json_nests_lists_structs_and_dictionaries() {
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None]), None]);
        let dictionary: DictionaryArray<Int32Type> = vec![Some("x"), None].into_iter().collect();
        let strukt = StructArray::from(vec![
            (Arc::new(Field::new("l", list.data_type().clone(), true)), Arc::new(list) as ArrayRef),
            (Arc::new(Field::new("d", dictionary.data_type().clone(), true)), Arc::new(dictionary) as ArrayRef),
        ]);
        assert_eq!(
            text(json::encode, one_column(Arc::new(strukt))),
            "[\n{\"value\":{\"l\":[1,null],\"d\":\"x\"}},\n{\"value\":{\"l\":null,\"d\":null}}\n]\n"
        );
    }

    #[test]
    fn json_refuses_what_it_has_no_word_for() {
        for value in [f64::NAN, f64::INFINITY] {
            let (schema, batches) = one_column(Arc::new(Float64Array::from(vec![1.0, value])));
            let error = json::encode(&schema, &batches).unwrap_err().to_string();
            assert!(error.contains("`value`") && error.contains("row 2"), "{error}");
        }
    }

    #[test]
    fn json_refuses_two_columns_of_one_name() {
        let field = Field::new("value", DataType::Int64, true);
        let schema = Arc::new(Schema::new(vec![field.clone(), field]));
        assert!(json::encode(&schema, &[]).unwrap_err().to_string().contains("`value`"));
    }

    #[test]
    fn markdown_is_a_github_table() {
        let (schema, batches) = sample();
        let few: Vec<_> = batches.iter().map(|batch| batch.project(&[0, 1, 2]).unwrap()).collect();
        let schema = Arc::new(schema.project(&[0, 1, 2]).unwrap());
        assert_eq!(
            text(markdown::encode, (schema, few)),
            "| kpi       | period_start |    value |\n\
             | --------- | ------------ | -------: |\n\
             | re,ven\"ue | 1970-01-01   | 12345.67 |\n\
             | a\\|b<br>c | 2024-10-04   |    -0.50 |\n\
             |           |              |          |\n"
        );
    }

    #[test]
    fn parquet_is_deterministic_and_reads_back() {
        let (schema, batches) = sample();
        // Metadata lies in hash maps, whose order differs from map to map: it must not reach the bytes.
        let noisy = || {
            let metadata = (0..20).map(|i| (format!("key {i}"), i.to_string())).collect();
            Arc::new(schema.as_ref().clone().with_metadata(metadata))
        };
        let rebatched = |schema: &SchemaRef| {
            batches
                .iter()
                .map(|batch| RecordBatch::try_new(schema.clone(), batch.columns().to_vec()).unwrap())
                .collect::<Vec<_>>()
        };
        let first = noisy();
        let bytes = parquet::encode(&first, &rebatched(&first)).unwrap();
        for _ in 0..5 {
            let again = noisy();
            assert!(parquet::encode(&again, &rebatched(&again)).unwrap() == bytes);
        }
        // Nor does it matter where the batches were cut.
        let whole = as_one_batch(&schema, &batches).unwrap();
        assert!(
            parquet::encode(&schema, std::slice::from_ref(&whole)).unwrap()
                == parquet::encode(&schema, &batches).unwrap()
        );

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        std::fs::write(&path, parquet::encode(&schema, &batches).unwrap()).unwrap();
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(path).unwrap()).unwrap().build().unwrap();
        let read: Vec<_> = reader.map(|batch| batch.unwrap()).collect();
        assert_eq!(as_one_batch(&schema, &read).unwrap(), whole);
    }

    #[test]
    fn arrow_ipc_reads_back() {
        let (schema, batches) = sample();
        let bytes = arrow_ipc::encode(&schema, &batches).unwrap();
        let reader = datafusion::arrow::ipc::reader::FileReader::try_new(std::io::Cursor::new(bytes), None).unwrap();
        let read: Vec<_> = reader.map(|batch| batch.unwrap()).collect();
        assert_eq!(as_one_batch(&schema, &read).unwrap(), as_one_batch(&schema, &batches).unwrap());
    }
}
