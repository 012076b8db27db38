//! Types in the words of SQL, as `CAST` takes nearly all of them; those without a word in SQL are told in Arrow's.

use datafusion::arrow::datatypes::DataType;

/// What a type is called in SQL: `VARCHAR`, `DECIMAL(12,2)`, `BIGINT[]`. Where SQL has no word it is Arrow's.
pub fn sql_type(data_type: &DataType) -> String {
    let word = match data_type {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => "VARCHAR",
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "TINYINT",
        DataType::Int16 => "SMALLINT",
        DataType::Int32 => "INT",
        DataType::Int64 => "BIGINT",
        DataType::UInt8 => "TINYINT UNSIGNED",
        DataType::UInt16 => "SMALLINT UNSIGNED",
        DataType::UInt32 => "INT UNSIGNED",
        DataType::UInt64 => "BIGINT UNSIGNED",
        DataType::Float32 => "REAL",
        DataType::Float64 => "DOUBLE",
        DataType::Date32 | DataType::Date64 => "DATE",
        DataType::Time32(_) | DataType::Time64(_) => "TIME",
        DataType::Timestamp(_, None) => "TIMESTAMP",
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE",
        DataType::Interval(_) | DataType::Duration(_) => "INTERVAL",
        DataType::Binary | DataType::BinaryView | DataType::LargeBinary | DataType::FixedSizeBinary(_) => "BYTEA",
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => return format!("DECIMAL({precision},{scale})"),
        DataType::Dictionary(_, values) => return sql_type(values),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => return format!("{}[]", sql_type(item.data_type())),
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| format!("{} {}", field.name(), sql_type(field.data_type())));
            return format!("STRUCT<{}>", fields.collect::<Vec<_>>().join(", "));
        }
        other => return other.to_string(),
    };
    word.to_owned()
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::{Field, TimeUnit};

    use super::*;

    #[tokio::test]
    async fn a_type_is_what_cast_takes() {
        let context = datafusion::prelude::SessionContext::new();
        for data_type in [
            DataType::Utf8View,
            DataType::Boolean,
            DataType::Int16,
            DataType::Int64,
            DataType::UInt8,
            DataType::UInt32,
            DataType::UInt64,
            DataType::Binary,
            DataType::Time64(TimeUnit::Nanosecond),
            DataType::Timestamp(TimeUnit::Nanosecond, None),
            DataType::Struct(vec![Field::new("a", DataType::Int32, true)].into()),
            DataType::Float32,
            DataType::Float64,
            DataType::Date32,
            DataType::Decimal128(12, 2),
            DataType::new_list(DataType::Int64, true),
        ] {
            let word = sql_type(&data_type);
            let frame = context.sql(&format!("SELECT CAST(NULL AS {word}) AS x")).await.unwrap();
            assert_eq!(frame.schema().field(0).data_type(), &data_type, "{word}");
        }
    }
}
