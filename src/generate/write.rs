//! Rows to files: Parquet parts by month or year, CSV in two dialects, gzip.
//!
//! A sink takes rows one at a time in any order of days and holds less than a row group for each open part, so memory does
//! not grow with the data beyond about a gigabyte. Files carry a temporary name until they are complete, and nothing in them depends on when
//! or where they were written. What the rows mean is not known here.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Int32Builder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_writer::ArrowWriterOptions;
use datafusion::parquet::basic::{Compression, Encoding, ZstdLevel};
use datafusion::parquet::file::properties::{WriterProperties, WriterVersion};
use datafusion::parquet::schema::types::ColumnPath;
use futures::{StreamExt, TryStreamExt};

use super::calendar::{Calendar, Day, Instant};
use crate::error::{Error, Result};

/// A row of one of the generated tables; made by the `rows!` macro.
pub trait Row {
    const TABLE: &'static str;
    /// What the ids of the table begin with.
    const PREFIX: &'static str;
    fn fields() -> Vec<Field>;
    fn append(&self, columns: &mut [Column]);
    /// The values as text in the given dialect, one call for each.
    fn for_each_text(&self, dialect: Dialect, write: &mut dyn FnMut(&str) -> csv::Result<()>) -> csv::Result<()>;
}

/// Declares row types: each is a struct whose fields are the columns of a table, in order.
macro_rules! rows {
    ($($(#[$meta:meta])* $row:ident = $table:literal, $prefix:literal { $($field:ident: $type:ty),* $(,)? })*) => {$(
        $(#[$meta])*
        pub struct $row { $(pub $field: $type),* }

        impl crate::generate::write::Row for $row {
            const TABLE: &'static str = $table;
            const PREFIX: &'static str = $prefix;

            fn fields() -> Vec<datafusion::arrow::datatypes::Field> {
                vec![$(crate::generate::write::field::<$type>(stringify!($field))),*]
            }

            fn append(&self, columns: &mut [crate::generate::write::Column]) {
                let mut columns = columns.iter_mut();
                $(if let Some(column) = columns.next() {
                    crate::generate::write::Cell::append(&self.$field, column);
                })*
            }

            fn for_each_text(
                &self,
                dialect: crate::generate::write::Dialect,
                write: &mut dyn FnMut(&str) -> csv::Result<()>,
            ) -> csv::Result<()> {
                let mut text = String::new();
                $(
                    text.clear();
                    crate::generate::write::Cell::text(&self.$field, dialect, &mut text);
                    write(&text)?;
                )*
                Ok(())
            }
        }
    )*};
}
pub(super) use rows;

/// A value of a column.
pub trait Cell {
    const TYPE: CellType;
    const NULLABLE: bool = false;
    fn append(&self, column: &mut Column);
    fn text(&self, dialect: Dialect, text: &mut String);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellType {
    Text,
    Money,
    Share,
    Integer,
    Boolean,
    Date,
    Timestamp,
}

/// How CSV files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Commas, ISO dates, nothing for "no value".
    Plain,
    /// Semicolons, `31/12/2025`, `-` for "no value": the export of some other tool.
    European,
}

/// The key of a row: a prefix that tells the table, and a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id {
    pub prefix: &'static str,
    pub number: u64,
}

/// An amount in cents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(pub i64);

/// A share of one, in hundredths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(pub i64);

impl Money {
    pub fn dollars(amount: f64) -> Money {
        Money((amount * 100.0).round() as i64)
    }

    pub fn times(self, factor: f64) -> Money {
        Money((self.0 as f64 * factor).round() as i64)
    }

    pub fn to_dollars(self) -> f64 {
        self.0 as f64 / 100.0
    }
}

impl std::ops::Add for Money {
    type Output = Money;
    fn add(self, other: Money) -> Money {
        Money(self.0 + other.0)
    }
}

impl std::ops::Sub for Money {
    type Output = Money;
    fn sub(self, other: Money) -> Money {
        Money(self.0 - other.0)
    }
}

impl std::ops::AddAssign for Money {
    fn add_assign(&mut self, other: Money) {
        self.0 += other.0;
    }
}

impl std::iter::Sum for Money {
    fn sum<I: Iterator<Item = Money>>(amounts: I) -> Money {
        amounts.fold(Money(0), |sum, amount| sum + amount)
    }
}

/// The builder of a column.
pub enum Column {
    Text(StringBuilder),
    Decimal(Decimal128Builder),
    Integer(Int32Builder),
    Boolean(BooleanBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
}

impl CellType {
    fn data_type(self) -> DataType {
        match self {
            CellType::Text => DataType::Utf8,
            CellType::Money => DataType::Decimal128(18, 2),
            CellType::Share => DataType::Decimal128(4, 2),
            CellType::Integer => DataType::Int32,
            CellType::Boolean => DataType::Boolean,
            CellType::Date => DataType::Date32,
            CellType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }
}

impl Column {
    fn new(data_type: &DataType) -> Result<Column> {
        Ok(match data_type {
            DataType::Utf8 => Column::Text(StringBuilder::new()),
            DataType::Decimal128(..) => Column::Decimal(Decimal128Builder::new().with_data_type(data_type.clone())),
            DataType::Int32 => Column::Integer(Int32Builder::new()),
            DataType::Boolean => Column::Boolean(BooleanBuilder::new()),
            DataType::Date32 => Column::Date(Date32Builder::new()),
            DataType::Timestamp(..) => {
                Column::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(data_type.clone()))
            }
            other => return Err(Error::internal(format!("the generator has no column builder for `{other}`"))),
        })
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Column::Text(builder) => Arc::new(builder.finish()),
            Column::Decimal(builder) => Arc::new(builder.finish()),
            Column::Integer(builder) => Arc::new(builder.finish()),
            Column::Boolean(builder) => Arc::new(builder.finish()),
            Column::Date(builder) => Arc::new(builder.finish()),
            Column::Timestamp(builder) => Arc::new(builder.finish()),
        }
    }

    fn append_null(&mut self) {
        match self {
            Column::Text(builder) => builder.append_null(),
            Column::Decimal(builder) => builder.append_null(),
            Column::Integer(builder) => builder.append_null(),
            Column::Boolean(builder) => builder.append_null(),
            Column::Date(builder) => builder.append_null(),
            Column::Timestamp(builder) => builder.append_null(),
        }
    }
}

/// The field of a column that holds such cells; raw identifiers lose their `r#`.
pub fn field<C: Cell>(name: &str) -> Field {
    Field::new(name.trim_start_matches("r#"), C::TYPE.data_type(), C::NULLABLE)
}

/// Implements [`Cell`]: how a value goes into its column, and how it is written as text.
macro_rules! cell {
    ($type:ty, $cell_type:ident, $column:ident, |$value:ident| $append:expr, |$dialect:ident, $text:ident| $write:expr) => {
        impl Cell for $type {
            const TYPE: CellType = CellType::$cell_type;
            fn append(&self, column: &mut Column) {
                let $value = self;
                // A row's cells meet the columns of its own fields, so the kinds always agree.
                if let Column::$column(builder) = column {
                    builder.append_value($append);
                }
            }
            fn text(&self, $dialect: Dialect, $text: &mut String) {
                let $value = self;
                // Writing to a string cannot fail.
                let _ = $write;
            }
        }
    };
}

cell!(&'static str, Text, Text, |value| value, |_dialect, text| text.write_str(value));
cell!(String, Text, Text, |value| value, |_dialect, text| text.write_str(value));
cell!(i32, Integer, Integer, |value| *value, |_dialect, text| write!(text, "{value}"));
cell!(bool, Boolean, Boolean, |value| *value, |_dialect, text| write!(text, "{value}"));
cell!(Money, Money, Decimal, |value| i128::from(value.0), |_dialect, text| write_hundredths(text, value.0));
cell!(Share, Share, Decimal, |value| i128::from(value.0), |_dialect, text| write_hundredths(text, value.0));
cell!(Day, Date, Date, |value| value.0, |dialect, text| match dialect {
    Dialect::Plain => write!(text, "{}", value.date().format("%Y-%m-%d")),
    Dialect::European => write!(text, "{}", value.date().format("%d/%m/%Y")),
});
cell!(Instant, Timestamp, Timestamp, |value| value.0 * 1_000_000, |_dialect, text| {
    let instant = chrono::DateTime::from_timestamp(value.0, 0).unwrap_or_default();
    write!(text, "{}", instant.format("%Y-%m-%dT%H:%M:%SZ"))
});

impl Cell for Id {
    const TYPE: CellType = CellType::Text;
    fn append(&self, column: &mut Column) {
        if let Column::Text(builder) = column {
            // The builder is itself a `Write`: the value is formatted in place, and writing to it cannot fail.
            let _ = write!(builder, "{}{:06}", self.prefix, self.number);
            builder.append_value("");
        }
    }
    fn text(&self, _dialect: Dialect, text: &mut String) {
        let _ = write!(text, "{}{:06}", self.prefix, self.number);
    }
}

impl<C: Cell> Cell for Option<C> {
    const TYPE: CellType = C::TYPE;
    const NULLABLE: bool = true;
    fn append(&self, column: &mut Column) {
        match self {
            Some(value) => value.append(column),
            None => column.append_null(),
        }
    }
    fn text(&self, dialect: Dialect, text: &mut String) {
        match (self, dialect) {
            (Some(value), dialect) => value.text(dialect, text),
            (None, Dialect::Plain) => {}
            (None, Dialect::European) => text.push('-'),
        }
    }
}

fn write_hundredths(text: &mut String, hundredths: i64) -> std::fmt::Result {
    let sign = if hundredths < 0 { "-" } else { "" };
    let hundredths = hundredths.unsigned_abs();
    write!(text, "{sign}{}.{:02}", hundredths / 100, hundredths % 100)
}

/// Where the rows of a table go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `table/month=2025-01/part-0.parquet`.
    HiveMonths,
    /// `table/2025-01.parquet`.
    Months,
    /// `table/2025.parquet`.
    Years,
    /// `table.csv`.
    Csv(Dialect),
    /// `table.csv.gz`; the whole table is held in memory, so only for small ones.
    GzipCsv,
}

/// What was written of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedTable {
    pub name: &'static str,
    pub rows: u64,
    pub files: u64,
    pub bytes: u64,
}

/// Takes the rows of one table and writes its files.
pub struct Sink<R: Row> {
    root: PathBuf,
    layout: Layout,
    schema: SchemaRef,
    ids: u64,
    rows: u64,
    parts: Vec<Part>,
    csv: Option<csv::Writer<Output>>,
    finished: Vec<PathBuf>,
    /// When a new part begins.
    rows_per_file: usize,
    row: std::marker::PhantomData<R>,
}

/// The open file of one month or year.
#[derive(Default)]
struct Part {
    columns: Vec<Column>,
    batched: usize,
    /// Rows that wait until a row group is full.
    batches: Vec<RecordBatch>,
    writer: Option<ArrowWriter<Output>>,
    rows_in_file: usize,
    files: usize,
}

/// Rows in builders; few, because up to a few hundred parts are open at once.
const BATCH_ROWS: usize = 1024;
/// Bounds the memory of the rows that wait; a multiple of the batch.
const ROW_GROUP_ROWS: usize = 32 * BATCH_ROWS;

impl<R: Row> Sink<R> {
    /// A sink that writes below `root`.
    pub fn new(root: &Path, layout: Layout) -> Sink<R> {
        Sink {
            root: root.to_owned(),
            layout,
            schema: Arc::new(Schema::new(R::fields())),
            ids: 0,
            rows: 0,
            parts: Vec::new(),
            csv: None,
            finished: Vec::new(),
            rows_per_file: 1 << 20,
            row: std::marker::PhantomData,
        }
    }

    /// The next id of the table.
    pub fn next_id(&mut self) -> Id {
        self.ids += 1;
        Id { prefix: R::PREFIX, number: self.ids }
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds a row; the day decides the file.
    pub fn push(&mut self, calendar: &Calendar, day: Day, row: &R) -> Result<()> {
        self.rows += 1;
        let name = match self.layout {
            Layout::HiveMonths | Layout::Months => calendar.month(day),
            Layout::Years => calendar.month(day) / 12,
            Layout::Csv(dialect) => return self.push_text(dialect, row),
            Layout::GzipCsv => return self.push_text(Dialect::Plain, row),
        };
        while self.parts.len() <= name {
            self.parts.push(Part::default());
        }
        let part = &mut self.parts[name];
        if part.columns.is_empty() {
            part.columns =
                self.schema.fields().iter().map(|field| Column::new(field.data_type())).collect::<Result<_>>()?;
        }
        row.append(&mut part.columns);
        part.batched += 1;
        if part.batched == BATCH_ROWS { self.finish_batch(calendar, name) } else { Ok(()) }
    }

    /// Completes the files and gives them their names.
    pub fn finish(mut self, calendar: &Calendar) -> Result<GeneratedTable> {
        match self.layout {
            Layout::HiveMonths | Layout::Months | Layout::Years => {
                for part in 0..self.parts.len() {
                    self.finish_batch(calendar, part)?;
                    self.write_row_group(calendar, part)?;
                    self.close_part(part)?;
                }
            }
            Layout::Csv(dialect) => self.finish_csv(dialect, false)?,
            Layout::GzipCsv => self.finish_csv(Dialect::Plain, true)?,
        }
        let mut bytes = 0;
        for path in &self.finished {
            bytes += fs::metadata(path).map_err(|source| cannot_write(path, source))?.len();
        }
        Ok(GeneratedTable { name: R::TABLE, rows: self.rows, files: self.finished.len() as u64, bytes })
    }

    /// Moves the rows in the builders to the waiting ones.
    fn finish_batch(&mut self, calendar: &Calendar, index: usize) -> Result<()> {
        let part = &mut self.parts[index];
        if part.batched > 0 {
            let arrays = part.columns.iter_mut().map(Column::finish).collect();
            let batch = RecordBatch::try_new(self.schema.clone(), arrays)
                .map_err(|source| Error::internal("generated rows do not fit their table").with_source(source))?;
            part.batches.push(batch);
            part.batched = 0;
        }
        if part.batches.len() * BATCH_ROWS >= ROW_GROUP_ROWS { self.write_row_group(calendar, index) } else { Ok(()) }
    }

    /// Encodes the waiting rows in one go: encoders and compressors take more memory than the rows, so that only one part
    /// at a time may have them.
    fn write_row_group(&mut self, calendar: &Calendar, index: usize) -> Result<()> {
        let part = &mut self.parts[index];
        if part.batches.is_empty() {
            return Ok(());
        }
        if part.writer.is_none() {
            let path = part_path(&self.root, R::TABLE, self.layout, calendar, index, part.files);
            let options =
                ArrowWriterOptions::new().with_properties(properties(&self.schema)).with_skip_arrow_metadata(true);
            let output = Output::create(&path)?;
            let writer = ArrowWriter::try_new_with_options(output, self.schema.clone(), options);
            part.writer = Some(writer.map_err(|source| cannot_write(&path, source))?);
            part.files += 1;
            part.rows_in_file = 0;
            self.finished.push(path);
        }
        if let Some(writer) = &mut part.writer {
            for batch in part.batches.drain(..) {
                part.rows_in_file += batch.num_rows();
                writer.write(&batch).map_err(|source| cannot_write(&self.root.join(R::TABLE), source))?;
            }
            writer.flush().map_err(|source| cannot_write(&self.root.join(R::TABLE), source))?;
        }
        if part.rows_in_file >= self.rows_per_file { self.close_part(index) } else { Ok(()) }
    }

    fn close_part(&mut self, index: usize) -> Result<()> {
        match self.parts[index].writer.take() {
            Some(writer) => {
                let output = writer.into_inner().map_err(|source| cannot_write(&self.root.join(R::TABLE), source))?;
                output.complete()
            }
            None => Ok(()),
        }
    }

    fn push_text(&mut self, dialect: Dialect, row: &R) -> Result<()> {
        let writer = self.csv_writer(dialect)?;
        let written = row
            .for_each_text(dialect, &mut |text| writer.write_field(text))
            .and_then(|()| writer.write_record(None::<&[u8]>));
        written.map_err(|source| cannot_write(&self.root.join(R::TABLE), source))
    }

    fn csv_writer(&mut self, dialect: Dialect) -> Result<&mut csv::Writer<Output>> {
        if self.csv.is_none() {
            let (output, delimiter) = match (self.layout, dialect) {
                (Layout::GzipCsv, _) => (Output::memory(), b','),
                (_, Dialect::Plain) => (Output::create(&self.csv_path(false))?, b','),
                (_, Dialect::European) => (Output::create(&self.csv_path(false))?, b';'),
            };
            let mut writer = csv::WriterBuilder::new().delimiter(delimiter).from_writer(output);
            let header: Vec<&String> = self.schema.fields().iter().map(|field| field.name()).collect();
            writer.write_record(header).map_err(|source| cannot_write(&self.csv_path(false), source))?;
            self.csv = Some(writer);
        }
        self.csv.as_mut().ok_or_else(|| Error::internal("the CSV writer was not opened"))
    }

    fn csv_path(&self, is_gzip: bool) -> PathBuf {
        self.root.join(format!("{}.csv{}", R::TABLE, if is_gzip { ".gz" } else { "" }))
    }

    fn finish_csv(&mut self, dialect: Dialect, is_gzip: bool) -> Result<()> {
        let path = self.csv_path(is_gzip);
        self.csv_writer(dialect)?;
        let Some(writer) = self.csv.take() else { return Ok(()) };
        let mut output = writer.into_inner().map_err(|source| cannot_write(&path, source.into_error()))?;
        if is_gzip {
            let compressed = gzip(mem::take(&mut output.buffer)).map_err(|source| cannot_write(&path, source))?;
            output = Output::create(&path)?;
            output.write_all(&compressed).map_err(|source| cannot_write(&path, source))?;
        }
        output.complete()?;
        self.finished.push(path);
        Ok(())
    }
}

fn part_path(root: &Path, table: &str, layout: Layout, calendar: &Calendar, part: usize, files: usize) -> PathBuf {
    let split = if files == 0 { String::new() } else { format!("-{files}") };
    let month = |index: usize| calendar.months[index].date().format("%Y-%m").to_string();
    let folder = root.join(table);
    match layout {
        Layout::HiveMonths => folder.join(format!("month={}", month(part))).join(format!("part-{files}.parquet")),
        Layout::Months => folder.join(format!("{}{split}.parquet", month(part))),
        Layout::Years | Layout::Csv(_) | Layout::GzipCsv => {
            folder.join(format!("{}{split}.parquet", calendar.months[12 * part].date().format("%Y")))
        }
    }
}

/// Zstd, dictionaries wherever values repeat, and no word about the writer's version or the time.
fn properties(schema: &Schema) -> WriterProperties {
    let compression = ZstdLevel::try_new(3).map(Compression::ZSTD).unwrap_or(Compression::ZSTD(ZstdLevel::default()));
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by("kpi generate".to_owned())
        .set_compression(compression)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS));
    // Keys and times hardly repeat: a dictionary of them would only be read twice.
    for (index, field) in schema.fields().iter().enumerate() {
        let column = ColumnPath::from(field.name().as_str());
        if index == 0 {
            properties = properties.set_column_dictionary_enabled(column, false);
        } else if matches!(field.data_type(), DataType::Timestamp(..)) && field.name() != "updated_at" {
            properties = properties
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_encoding(column, Encoding::PLAIN);
        }
    }
    properties.build()
}

/// Deterministic: the header of the encoder holds no file name and no time.
fn gzip(bytes: Vec<u8>) -> std::io::Result<Vec<u8>> {
    let stream = futures::stream::once(async move { Ok(bytes.into()) }).boxed();
    let compressed = FileCompressionType::GZIP.convert_to_compress_stream(stream).map_err(std::io::Error::other)?;
    let chunks: Vec<_> = futures::executor::block_on(compressed.try_collect()).map_err(std::io::Error::other)?;
    Ok(chunks.concat())
}

/// A file under a temporary name. It is open only while its buffer is written, because hundreds of files grow at once and
/// systems limit how many may be open.
struct Output {
    path: PathBuf,
    buffer: Vec<u8>,
    is_memory: bool,
}

const BUFFER_BYTES: usize = 1 << 18;

impl Output {
    fn create(path: &Path) -> Result<Output> {
        let output = Output { path: path.to_owned(), buffer: Vec::new(), is_memory: false };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|source| cannot_write(folder, source))?;
        }
        File::create(output.temporary_path()).map_err(|source| cannot_write(path, source))?;
        Ok(output)
    }

    fn memory() -> Output {
        Output { path: PathBuf::new(), buffer: Vec::new(), is_memory: true }
    }

    fn temporary_path(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(".tmp");
        path.into()
    }

    fn write_buffer(&mut self) -> std::io::Result<()> {
        let mut file = File::options().append(true).open(self.temporary_path())?;
        file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    fn complete(mut self) -> Result<()> {
        let written = self.write_buffer().and_then(|()| fs::rename(self.temporary_path(), &self.path));
        written.map_err(|source| cannot_write(&self.path, source))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() > BUFFER_BYTES && !self.is_memory {
            self.write_buffer()?;
        }
        Ok(bytes.len())
    }

    /// Nothing to do: the bytes are written when the buffer is full or the file complete.
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The error of a file or folder that cannot be written.
pub fn cannot_write(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::storage(format!("cannot write `{}`", path.display()))
        .with_source(source)
        .with_hint("check that the folder exists, that it may be written to, and that the disk has room")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<C: Cell>(value: C, dialect: Dialect) -> String {
        let mut text = String::new();
        value.text(dialect, &mut text);
        text
    }

    #[test]
    fn values_as_text() {
        assert_eq!(text(Money(-5), Dialect::Plain), "-0.05");
        assert_eq!(text(Money(123_450), Dialect::European), "1234.50");
        assert_eq!(text(Share(25), Dialect::Plain), "0.25");
        assert_eq!(text(Id { prefix: "A", number: 123 }, Dialect::Plain), "A000123");
        assert_eq!(text(Day::of(2025, 3, 9), Dialect::Plain), "2025-03-09");
        assert_eq!(text(Day::of(2025, 3, 9), Dialect::European), "09/03/2025");
        assert_eq!(text(None::<Day>, Dialect::European), "-");
        assert_eq!(text(None::<Day>, Dialect::Plain), "");
        assert_eq!(text(Instant(0), Dialect::Plain), "1970-01-01T00:00:00Z");
    }

    rows! {
        TestRow = "things", "X" { thing_id: Id, amount: Option<Money>, r#type: &'static str }
    }

    /// Writes 40000 rows, day by day from January 2024 on, and returns the names of the files.
    fn files(layout: Layout) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let calendar = Calendar::new(chrono::NaiveDate::from_ymd_opt(2024, 1, 1).unwrap(), 24);
        let mut sink: Sink<TestRow> = Sink::new(folder.path(), layout);
        sink.rows_per_file = ROW_GROUP_ROWS;
        for number in 0..40_000 {
            let row = TestRow { thing_id: sink.next_id(), amount: (number % 2 == 0).then_some(Money(1)), r#type: "a" };
            sink.push(&calendar, calendar.first + number / 800, &row).unwrap();
        }
        let written = sink.finish(&calendar).unwrap();
        assert_eq!(written.rows, 40_000);
        let mut names = Vec::new();
        let mut folders = vec![folder.path().to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => {
                        names.push(path.strip_prefix(folder.path()).unwrap().display().to_string().replace('\\', "/"))
                    }
                }
            }
        }
        names.sort();
        assert_eq!(written.files, names.len() as u64);
        names
    }

    #[test]
    fn each_layout_names_its_files() {
        assert_eq!(
            files(Layout::HiveMonths),
            ["things/month=2024-01/part-0.parquet", "things/month=2024-02/part-0.parquet"]
        );
        assert_eq!(files(Layout::Months), ["things/2024-01.parquet", "things/2024-02.parquet"]);
        assert_eq!(files(Layout::Years), ["things/2024-1.parquet", "things/2024.parquet"]);
        assert_eq!(files(Layout::Csv(Dialect::Plain)), ["things.csv"]);
        assert_eq!(files(Layout::GzipCsv), ["things.csv.gz"]);
    }

    #[test]
    fn gzip_has_no_time_in_it() {
        let compressed = gzip(b"a,b\n1,2\n".repeat(100)).unwrap();
        assert_eq!(&compressed[..8], &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
        assert!(compressed.len() < 100);
    }
}
