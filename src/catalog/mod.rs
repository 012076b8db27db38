//! Where the data lives: finds the files of a table, on this machine or in an object store, reads their schema, and offers
//! them to DataFusion as raw rows.
//!
//! One file per format. Nothing is renamed, cast or filtered here; that belongs to a table's definition and is done in
//! `validate`. A catalog never writes.

mod absent;
mod csv;
mod files;
mod given;
mod parquet;
mod periods;
mod single;
mod unchanged;

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::prelude::SessionContext;

use crate::error::{Error, ErrorKind};
use crate::location::{Location, Stores};

pub use self::absent::{absent, empty, view_with_absent_columns, with_absent_columns};
pub use self::csv::{BrokenValue, CsvOptions, find_broken_value, find_line_that_is_no_text, is_code};
use self::files::{Found, find};
pub use self::files::{InputFile, is_csv};
pub use self::given::{BadValue, GivenRows, Known, given};
pub use self::parquet::{ColumnSizes, column_sizes, find_broken_file, parquet_files};
pub use self::periods::{PERIODS, Periods, known_days};
pub use self::single::over_file;

/// The files of one table, as raw rows.
#[derive(Debug, Clone)]
pub struct Source {
    pub provider: Arc<dyn TableProvider>,
    /// Every file that is read, sorted by path.
    pub files: Vec<InputFile>,
    pub format: Format,
    /// For CSV, the type that the values of each column look like; the raw columns are all text.
    pub suggested_types: Vec<(String, DataType)>,
    /// For CSV, the columns without a value in the rows looked at; they are taken for text.
    pub empty_columns: Vec<String>,
    /// Where files are read from that do not lie on this machine.
    pub stores: Stores,
}

impl Source {
    pub fn schema(&self) -> SchemaRef {
        self.provider.schema()
    }

    /// Whether CSV files have a header and nothing else, beside columns from their folders.
    pub fn has_no_rows(&self, partitions: usize) -> bool {
        self.format == Format::Csv && self.empty_columns.len() + partitions >= self.schema().fields().len()
    }
}

/// A file format that tables may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Parquet,
    Csv,
}

/// Why a table has no usable rows.
#[derive(Debug)]
pub enum SourceError {
    /// There is no such file or folder, or the folder holds no data files: KPIs over it are skipped.
    Absent(String),
    /// The files are there and cannot be used.
    Unreadable { message: String, hint: Option<String> },
    /// The store that has them did not answer, or refused.
    Storage(Error),
}

impl From<Error> for SourceError {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Storage => SourceError::Storage(error),
            _ => SourceError::Unreadable { message: error.message().to_owned(), hint: error.hint().map(str::to_owned) },
        }
    }
}

impl SourceError {
    fn unreadable(message: impl Into<String>) -> Self {
        SourceError::Unreadable { message: message.into(), hint: None }
    }

    fn with_hint(self, text: impl Into<String>) -> Self {
        match self {
            SourceError::Unreadable { message, .. } => SourceError::Unreadable { message, hint: Some(text.into()) },
            other @ (SourceError::Absent(_) | SourceError::Storage(_)) => other,
        }
    }
}

/// What a table's definition says about its files.
#[derive(Debug, Clone, Default)]
pub struct SourceOptions {
    pub csv: CsvOptions,
    /// Hive partition columns and their types.
    pub partitions: Vec<(String, DataType)>,
}

/// The object stores of a session.
pub fn stores(context: &SessionContext) -> Stores {
    context.runtime_env().object_store_registry.clone()
}

/// Opens the files at a place, which `source` names.
///
/// # Errors
/// [`SourceError::Absent`] where there is nothing to read, [`SourceError::Unreadable`] where what is there cannot be used,
/// [`SourceError::Storage`] where a store refused.
pub async fn open(
    context: &SessionContext,
    location: &Location,
    source: &str,
    options: &SourceOptions,
) -> Result<Source, SourceError> {
    let (stores, location, source, options) = (stores(context), location.clone(), source.to_owned(), options.clone());
    waiting(move || {
        let found = find(&stores, &location, &source)?;
        match found.format {
            Format::Parquet => parquet::open(stores, found, &options),
            Format::Csv => csv::open(stores, found, &options),
        }
    })
    .await
}

/// The files of an opened source as they are now; to see whether they changed while a run read them.
///
/// # Errors
/// As [`open`].
pub async fn list(context: &SessionContext, location: &Location, source: &str) -> Result<Vec<InputFile>, SourceError> {
    let (stores, location, source) = (stores(context), location.clone(), source.to_owned());
    waiting(move || find(&stores, &location, &source).map(|Found { files, .. }| files)).await
}

/// Does what waits for disks and stores on a thread that may wait.
async fn waiting<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(SourceError::unreadable(error.to_string())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::parquet::arrow::ArrowWriter;

    async fn rows(data: &std::path::Path, source: &str, options: &SourceOptions) -> Result<String, SourceError> {
        let context = SessionContext::new();
        let opened = open(&context, &data.join(source).into(), source, options).await?;
        context.register_table("t", opened.provider).unwrap();
        let rows = context.sql("SELECT * FROM t ORDER BY 1").await.unwrap().collect().await.unwrap();
        Ok(pretty_format_batches(&rows).unwrap().to_string())
    }

    fn reason(outcome: Result<String, SourceError>) -> String {
        match outcome {
            Err(SourceError::Unreadable { message, .. } | SourceError::Absent(message)) => message,
            Err(SourceError::Storage(error)) => error.to_string(),
            Ok(rows) => panic!("read {rows}"),
        }
    }

    #[tokio::test]
    async fn every_file_found_is_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.csv"), "x\n1\n").unwrap();
        std::fs::write(folder.path().join("B.CSV"), "x\n2\n").unwrap();
        let read = rows(folder.path(), "", &SourceOptions::default()).await.unwrap();
        assert!(read.contains("| 1 |") && read.contains("| 2 |"), "{read}");
    }

    #[tokio::test]
    async fn a_tsv_file_has_tabs() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.tsv"), "x\ty\n1\ta,b\n").unwrap();
        let read = rows(folder.path(), "a.tsv", &SourceOptions::default()).await.unwrap();
        assert!(read.contains("| 1 | a,b |"), "{read}");
    }

    #[tokio::test]
    async fn a_partitioned_folder_holds_nothing_else() {
        for (odd, expected) in [
            ("_old/a.csv", "begin with `.` or `_`"),
            ("year=2025/.b.csv", "begin with `.` or `_`"),
            ("year=2025/B.CSV", "is not in lower case"),
            ("b.csv", "does not lie in `year=...`"),
            ("month=1/b.csv", "does not lie in `year=...`"),
            ("year=soon/b.csv", "`soon` is not of the type that `year` has"),
            ("year=__HIVE_DEFAULT_PARTITION__/b.csv", "is not of the type that `year` has"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let write = |name: &str| {
                let path = folder.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, "x\n1\n").unwrap();
            };
            let partitions = vec![("year".to_owned(), DataType::Int64)];
            let options = SourceOptions { partitions, ..SourceOptions::default() };
            write("year=2025/a.csv");
            let read = rows(folder.path(), "", &options).await.unwrap();
            assert!(read.contains("| 1 | 2025 |"), "{read}");
            write(odd);
            let message = reason(rows(folder.path(), "", &options).await);
            assert!(message.contains(expected) && message.contains(odd), "{odd}: {message}");
        }
    }

    #[tokio::test]
    async fn a_column_of_later_parquet_files_is_null_in_earlier_ones() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, columns: Vec<(&str, ArrayRef)>| {
            let rows = RecordBatch::try_from_iter(columns).unwrap();
            let file = std::fs::File::create(folder.path().join(name)).unwrap();
            let mut writer = ArrowWriter::try_new(file, rows.schema(), None).unwrap();
            writer.write(&rows).unwrap();
            writer.close().unwrap();
        };
        write("a.parquet", vec![("id", Arc::new(Int64Array::from(vec![1])))]);
        let named: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
        write("b.parquet", vec![("id", Arc::new(Int64Array::from(vec![2]))), ("name", named)]);
        let read = rows(folder.path(), "", &SourceOptions::default()).await.unwrap();
        assert!(read.contains("| 1  |      |") && read.contains("| 2  | x    |"), "{read}");
        let context = SessionContext::new();
        let opened = open(&context, &folder.path().to_owned().into(), "", &SourceOptions::default()).await.unwrap();
        assert_eq!(opened.schema().field(1).data_type(), &DataType::Utf8View);
        // Else a definition would look changed by the first file with a NULL.
        assert!(opened.schema().fields().iter().all(|field| field.is_nullable()));
    }
}
