//! Tests that analysts wrote, run: of the data in `data`, of results in `results`; what tests on given rows expect is
//! compared in `expectation`. What came out is a [`TestOutcome`], with rows that failed.
//!
//! A test reads and counts; it changes no value, and what its failure means for a run is decided in `engine`.

mod data;
mod expectation;
mod results;

pub use data::{freshness_test, table_tests};
pub use expectation::unmet;
pub use results::assertion_test;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::error::{Error, Result};
use crate::execute::query_error;
use crate::model::{Place, TestSeverity};

/// How many failing rows are shown.
const EXAMPLES: usize = 5;

/// What a test is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TestKind {
    /// A KPI on given rows.
    Given,
    /// Rows of a table.
    Data,
    /// How old the rows of a table are.
    Freshness,
    /// The results of a KPI.
    Assertion,
}

/// One test and what came out.
#[derive(Debug)]
pub struct TestOutcome {
    pub kind: TestKind,
    /// The table or the KPI.
    pub subject: String,
    /// What holds, in words.
    pub name: String,
    pub place: Place,
    pub severity: TestSeverity,
    pub verdict: Verdict,
}

/// What came out of a test.
#[derive(Debug)]
pub enum Verdict {
    Passed,
    Failed(Failure),
    /// It cannot run, since something has no data.
    Skipped {
        reason: String,
    },
    /// Its query failed.
    Broken {
        error: Error,
    },
}

/// How a test failed.
#[derive(Debug, Clone, Default)]
pub struct Failure {
    /// In one line.
    pub message: String,
    /// How many rows failed, where rows are what fails.
    pub rows: Option<u64>,
    /// Some of them.
    pub examples: Examples,
}

/// A few rows as texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examples {
    pub columns: Vec<String>,
    /// Nothing stands for NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

impl TestOutcome {
    /// Whether it did not pass, however severe that is.
    pub fn has_failed(&self) -> bool {
        matches!(self.verdict, Verdict::Failed(_) | Verdict::Broken { .. })
    }

    /// Whether it did not pass and must.
    pub fn is_error(&self) -> bool {
        self.has_failed() && self.severity == TestSeverity::Error
    }

    /// The whole outcome in one line, for reports and logs.
    pub fn in_one_line(&self) -> String {
        let TestOutcome { name, subject, place, .. } = self;
        match &self.verdict {
            Verdict::Passed => format!("`{subject}`: {name} ({place})"),
            Verdict::Failed(failure) => {
                let example = failure.examples.first_in_words().map(|row| format!(", such as {row}"));
                format!("`{subject}`: {name}: {} ({place}){}", failure.message, example.unwrap_or_default())
            }
            Verdict::Skipped { reason } => format!("`{subject}`: {name}: skipped, {reason} ({place})"),
            Verdict::Broken { error } => {
                format!("`{subject}`: {name}: the test could not run: {} ({place})", error.message())
            }
        }
    }
}

impl Examples {
    /// The rows of a batch, at most `limit`.
    ///
    /// # Errors
    /// `Internal` where values cannot be shown.
    pub fn of(rows: &RecordBatch, limit: usize) -> Result<Examples> {
        let options = FormatOptions::default();
        let formatters = rows.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
        let formatters = formatters.collect::<Result<Vec<_>, _>>().map_err(|error| query_error(error.into()))?;
        let text = |column: usize, row: usize| {
            rows.column(column).is_valid(row).then(|| formatters[column].value(row).to_string())
        };
        let row = |row| (0..formatters.len()).map(|column| text(column, row)).collect();
        Ok(Examples {
            columns: rows.schema_ref().fields().iter().map(|field| field.name().clone()).collect(),
            rows: (0..rows.num_rows().min(limit)).map(row).collect(),
        })
    }

    /// `order_id = 7, amount = -1`, of the first row.
    fn first_in_words(&self) -> Option<String> {
        let row = self.rows.first()?;
        let cells = self.columns.iter().zip(row);
        let words = cells.map(|(column, value)| format!("{column} = {}", value.as_deref().unwrap_or("NULL")));
        Some(words.collect::<Vec<_>>().join(", "))
    }
}
