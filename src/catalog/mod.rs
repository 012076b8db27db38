//! Where the data lives: finds the files of a table, reads their schema, and offers them to DataFusion as raw rows.
//!
//! One file per format. Nothing is renamed, cast or filtered here; that belongs to a table's definition and is done in
//! `validate`. A catalog never writes.

mod csv;
mod files;
mod parquet;
mod periods;

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::prelude::SessionContext;

pub use self::csv::{BrokenValue, CsvOptions, find_broken_value};
pub use self::files::InputFile;
use self::files::{Found, find};
pub use self::parquet::find_broken_file;
pub use self::periods::{PERIODS, Periods, known_days};

/// The files of one table, as raw rows.
#[derive(Debug, Clone)]
pub struct Source {
    pub provider: Arc<dyn TableProvider>,
    /// Every file that is read, sorted by path.
    pub files: Vec<InputFile>,
    pub format: Format,
    /// For CSV, the type that the values of each column look like; the raw columns are all text.
    pub suggested_types: Vec<(String, DataType)>,
}

impl Source {
    pub fn schema(&self) -> SchemaRef {
        self.provider.schema()
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
}

impl SourceError {
    fn unreadable(message: impl Into<String>) -> Self {
        SourceError::Unreadable { message: message.into(), hint: None }
    }

    fn with_hint(self, text: impl Into<String>) -> Self {
        match self {
            SourceError::Unreadable { message, .. } => SourceError::Unreadable { message, hint: Some(text.into()) },
            absent @ SourceError::Absent(_) => absent,
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

/// Opens the files that `source` names below `data`.
///
/// # Errors
/// [`SourceError::Absent`] where there is nothing to read, [`SourceError::Unreadable`] where what is there cannot be used.
pub async fn open(
    context: &SessionContext,
    data: &Path,
    source: &str,
    options: &SourceOptions,
) -> Result<Source, SourceError> {
    let found = find(data, source)?;
    match found.format {
        Format::Parquet => parquet::open(context, found, options).await,
        Format::Csv => csv::open(context, found, options).await,
    }
}

/// The files of an opened source as they are now; to see whether they changed while a run read them.
pub fn list(data: &Path, source: &str) -> Result<Vec<InputFile>, SourceError> {
    find(data, source).map(|Found { files, .. }| files)
}
