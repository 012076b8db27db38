//! Where the rows of a statement go, and which of them are kept for the next look.
//!
//! What they look like is the affair of `output` and `screen`.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use kpi::error::{Error, Result};

use super::output::{Encoder, FileSink};
use crate::commands::count;
use crate::printer::Printer;

/// The last result, to be looked at again.
#[derive(Debug, Clone)]
pub struct Last {
    pub schema: SchemaRef,
    pub rows: Vec<RecordBatch>,
    /// Whether there were more rows than these.
    pub is_cut: bool,
}

impl Last {
    pub fn count(&self) -> usize {
        self.rows.iter().map(RecordBatch::num_rows).sum()
    }
}

/// What comes of the rows of a statement.
pub struct Shown {
    pub schema: SchemaRef,
    pub target: Target,
    pub kept: Vec<RecordBatch>,
    /// How many rows there were so far.
    pub count: usize,
    /// How many rows are kept; `None` for all.
    pub keeps: Option<usize>,
}

pub enum Target {
    /// For people, once all rows are there.
    Screen,
    /// As they come, to standard output.
    Output(Encoder),
    File(FileSink, Encoder),
    Nothing,
}

impl Target {
    /// Writes what is not written yet. A file is given back, to be put in its place.
    ///
    /// # Errors
    /// As rows cannot be written.
    pub fn finish(self, printer: &Printer) -> Result<Option<FileSink>> {
        match self {
            Target::Nothing | Target::Screen => Ok(None),
            Target::Output(encoder) => printer.data(encoder.finish()?).map(|()| None),
            Target::File(mut sink, encoder) => {
                sink.write(&encoder.finish()?)?;
                Ok(Some(sink))
            }
        }
    }
}

impl Shown {
    pub fn new(schema: SchemaRef, target: Target, keeps: Option<usize>) -> Shown {
        Shown { schema, target, kept: Vec::new(), count: 0, keeps }
    }

    pub fn is_screen(&self) -> bool {
        matches!(self.target, Target::Screen)
    }

    /// Whether more rows are wanted.
    ///
    /// # Errors
    /// As rows cannot be written.
    pub fn add(&mut self, rows: RecordBatch, printer: &Printer) -> Result<bool> {
        let room = self.keeps.map_or(usize::MAX, |keeps| keeps.saturating_sub(self.count));
        self.count += rows.num_rows();
        if room > 0 && rows.num_rows() > 0 {
            self.kept.push(rows.slice(0, rows.num_rows().min(room)));
        }
        match &mut self.target {
            Target::Screen => return Ok(rows.num_rows() <= room),
            Target::Nothing => {}
            Target::Output(encoder) => printer.data(encoder.add(rows)?)?,
            Target::File(sink, encoder) => sink.write(&encoder.add(rows)?)?,
        }
        Ok(true)
    }
}

/// Whether what a statement gives is only how many rows it wrote somewhere.
pub fn is_count(word: &str, schema: &SchemaRef) -> bool {
    let [count] = schema.fields().as_ref() else { return false };
    matches!(word, "copy" | "insert" | "update" | "delete")
        && count.name() == "count"
        && count.data_type() == &DataType::UInt64
}

/// Whether it is what EXPLAIN gives, which is drawn in lines of its own.
pub fn is_plan(word: &str, schema: &SchemaRef) -> bool {
    word == "explain" && schema.fields().iter().map(|field| field.name().as_str()).eq(["plan_type", "plan"])
}

/// A name that two columns have.
pub fn repeated_name(schema: &SchemaRef) -> Option<&str> {
    let mut seen = std::collections::HashSet::new();
    schema.fields().iter().map(|field| field.name().as_str()).find(|name| !seen.insert(*name))
}

/// Readers of such a file find only one of them.
///
/// # Errors
/// `Config` with the name.
pub fn refuse_repeated_names(schema: &SchemaRef) -> Result<()> {
    match repeated_name(schema) {
        Some(name) => Err(Error::config(format!("two columns are named `{name}`"))
            .with_hint("give each column a name of its own, as in `SELECT a.x AS a_x`")),
        None => Ok(()),
    }
}

/// `1 row`, `2 rows`.
pub fn rows(number: usize) -> String {
    count(number, "row")
}
