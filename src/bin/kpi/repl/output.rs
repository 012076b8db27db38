//! Rows in the forms that people and programs want: as tables, record by record, or in a format of files.
//!
//! All are written as rows come, but Markdown, whose columns are as wide as their widest value: it is gathered first.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::SchemaRef;
use kpi::error::{Error, Result};
use kpi::location::{Replacement, cannot_write};
use kpi::materialize::{arrow_ipc, csv, json, markdown, parquet};

use super::grid::{self, Layout};

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// For people: columns side by side
    Table,
    /// For people: one column to a line, for rows with many columns
    Vertical,
    Csv,
    /// One array of objects
    Json,
    /// JSON lines: an object for each row
    Jsonl,
    Markdown,
    Parquet,
    /// Arrow IPC, as files have it
    Arrow,
}

impl Mode {
    /// Those that a terminal can show.
    pub fn texts() -> impl Iterator<Item = Mode> {
        Mode::value_variants().iter().copied().filter(|mode| mode.is_text())
    }

    pub fn name(self) -> &'static str {
        match self {
            Mode::Table => "table",
            Mode::Vertical => "vertical",
            Mode::Csv => "csv",
            Mode::Json => "json",
            Mode::Jsonl => "jsonl",
            Mode::Markdown => "markdown",
            Mode::Parquet => "parquet",
            Mode::Arrow => "arrow",
        }
    }

    pub fn is_for_people(self) -> bool {
        matches!(self, Mode::Table | Mode::Vertical)
    }

    /// Whether a terminal can show it.
    pub fn is_text(self) -> bool {
        !matches!(self, Mode::Parquet | Mode::Arrow)
    }

    /// What the ending of a file's name says.
    pub fn of_file(path: &Path) -> Option<Mode> {
        Some(match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Mode::Csv,
            "json" => Mode::Json,
            "jsonl" | "ndjson" => Mode::Jsonl,
            "md" => Mode::Markdown,
            "parquet" => Mode::Parquet,
            "arrow" | "feather" => Mode::Arrow,
            "txt" => Mode::Table,
            _ => return None,
        })
    }
}

/// What to do about a file whose name says no mode.
pub fn no_format(path: &Path) -> Error {
    Error::config(format!("the ending of `{}` says no format", path.display()))
        .with_hint("it may be .csv, .json, .jsonl, .md, .parquet, .arrow or .txt")
}

/// So many rows say how wide columns have to be, where they are written as they come.
const ROWS_LOOKED_AT: usize = 1_000;

/// Turns rows into bytes of one mode, piece by piece.
pub struct Encoder {
    mode: Mode,
    schema: SchemaRef,
    rows: usize,

    /// Of CSV.
    has_header: bool,
    /// What waits until more is known.
    waiting: Vec<RecordBatch>,
    layout: Option<Layout>,
    parquet: Option<parquet::Encoder>,
    arrow: Option<arrow_ipc::Encoder>,
}

impl Encoder {
    pub fn new(mode: Mode, schema: &SchemaRef) -> Encoder {
        Encoder {
            mode,
            schema: schema.clone(),
            rows: 0,
            has_header: false,
            waiting: Vec::new(),
            layout: None,
            parquet: None,
            arrow: None,
        }
    }

    pub fn add(&mut self, batch: RecordBatch) -> Result<Vec<u8>> {
        let before = self.rows;
        self.rows += batch.num_rows();
        match self.mode {
            Mode::Table => {
                if let Some(layout) = &self.layout {
                    return Ok(layout.rows(&batch).into_bytes());
                }
                self.waiting.push(batch);
                if self.rows < ROWS_LOOKED_AT { Ok(Vec::new()) } else { Ok(self.table().into_bytes()) }
            }
            Mode::Vertical => Ok(grid::records(&batch, before, None).0.into_bytes()),
            Mode::Csv => {
                let mut bytes = if self.has_header { Vec::new() } else { csv::header(&self.schema)? };
                self.has_header = true;
                bytes.extend(csv::rows(&batch)?);
                Ok(bytes)
            }
            Mode::Json => {
                let objects = json::objects(&batch, before)?;
                let mut text = String::new();
                for (index, object) in objects.iter().enumerate() {
                    text.push_str(if before + index == 0 { "[\n" } else { ",\n" });
                    text.push_str(object);
                }
                Ok(text.into_bytes())
            }
            Mode::Jsonl => {
                let objects = json::objects(&batch, before)?;
                Ok(objects.into_iter().map(|object| object + "\n").collect::<String>().into_bytes())
            }
            Mode::Parquet => {
                // A group should hold more rows than a batch does.
                self.waiting.push(batch);
                match self.waiting.iter().map(RecordBatch::num_rows).sum::<usize>() {
                    GROUP.. => self.group(),
                    _ => Ok(Vec::new()),
                }
            }
            Mode::Arrow => self.arrow()?.add(&batch),
            Mode::Markdown => {
                self.waiting.push(batch);
                Ok(Vec::new())
            }
        }
    }

    pub fn finish(mut self) -> Result<Vec<u8>> {
        match self.mode {
            Mode::Table if self.layout.is_none() => Ok(self.table().into_bytes()),
            Mode::Table | Mode::Vertical | Mode::Jsonl => Ok(Vec::new()),
            Mode::Csv if !self.has_header => csv::header(&self.schema),
            Mode::Csv => Ok(Vec::new()),
            Mode::Json => Ok(if self.rows == 0 { b"[]\n".to_vec() } else { b"\n]\n".to_vec() }),
            Mode::Markdown => markdown::encode(&self.schema, &self.waiting),
            Mode::Arrow => {
                self.arrow()?;
                self.arrow.take().map_or(Ok(Vec::new()), arrow_ipc::Encoder::finish)
            }
            Mode::Parquet => {
                let mut bytes = self.group()?;
                bytes.extend(self.parquet.take().map_or(Ok(Vec::new()), parquet::Encoder::finish)?);
                Ok(bytes)
            }
        }
    }

    fn table(&mut self) -> String {
        let waiting = std::mem::take(&mut self.waiting);
        let layout = Layout::whole(&self.schema, &waiting);
        let text = layout.text(&waiting, false);
        self.layout = Some(layout);
        text
    }

    fn arrow(&mut self) -> Result<&mut arrow_ipc::Encoder> {
        let encoder = match self.arrow.take() {
            Some(encoder) => encoder,
            None => arrow_ipc::Encoder::new(&self.schema)?,
        };
        Ok(self.arrow.insert(encoder))
    }

    /// What waits, as one batch.
    fn waiting(&mut self) -> Result<RecordBatch> {
        concat_batches(&self.schema, &std::mem::take(&mut self.waiting))
            .map_err(|error| Error::internal("rows could not be put together").with_source(error))
    }

    /// Writes what waits as one group of a Parquet file.
    fn group(&mut self) -> Result<Vec<u8>> {
        let whole = self.waiting()?;
        let encoder = match self.parquet.take() {
            Some(encoder) => encoder,
            None => parquet::Encoder::new(&self.schema)?,
        };
        let encoder = self.parquet.insert(encoder);
        encoder.add_group(&whole)?;
        encoder.take()
    }
}

/// Rows of a group in Parquet files written here.
const GROUP: usize = 256 * 1024;

/// A file that is there as a whole or not at all.
pub struct FileSink {
    path: PathBuf,
    file: File,
    replacement: Replacement,
}

impl FileSink {
    /// # Errors
    /// `Storage` where no file can be written there.
    pub fn create(path: &Path) -> Result<FileSink> {
        let (replacement, file) = Replacement::of(path)?;
        Ok(FileSink { path: path.to_owned(), file, replacement })
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| cannot_write(&self.path, error))
    }

    pub fn finish(self) -> Result<()> {
        self.replacement.put()
    }
}
