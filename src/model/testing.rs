//! Tests as they can run: expressions typed, values in the types of their columns, places for people.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use chrono::NaiveDate;
use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::Expr;

use super::JoinPath;
use crate::catalog::GivenRows;
pub use crate::spec::TestSeverity;
use crate::time::Grain;

/// The tests of a project.
#[derive(Debug, Clone, Default)]
pub struct Tests {
    /// Those of the data, by table.
    pub tables: BTreeMap<String, TableTests>,
    /// What is asserted about results, by KPI.
    pub assertions: BTreeMap<String, Vec<Assertion>>,
    /// Assertions about KPIs that have no data.
    pub skipped_assertions: BTreeMap<String, Vec<SkippedTest>>,
    /// Tests on given rows, by KPI; also of KPIs that have no data.
    pub given: BTreeMap<String, Vec<GivenTest>>,
}

/// The tests of one table's data.
#[derive(Debug, Clone, Default)]
pub struct TableTests {
    pub tests: Vec<DataTest>,
    pub freshness: Option<Freshness>,
    /// Tests that cannot run since something has no data.
    pub skipped: Vec<SkippedTest>,
}

/// Where a test is written, for people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub file: PathBuf,
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// A test that cannot run, and why.
#[derive(Debug, Clone)]
pub struct SkippedTest {
    pub name: String,
    pub place: Place,
    pub reason: String,
}

/// A test of the rows of one table.
#[derive(Debug, Clone)]
pub struct DataTest {
    /// What holds, in words.
    pub name: String,
    pub place: Place,
    pub severity: TestSeverity,
    pub rule: Rule,
    /// Joins that the rule needs.
    pub joins: BTreeSet<JoinPath>,
    /// The table's time with its type, where a join goes to a history: its row is that of this time.
    pub time: Option<(Expr, DataType)>,
    /// Whether nobody wrote it and the declared primary key alone asks for it.
    pub is_of_key: bool,
}

/// What a test asks of rows.
#[derive(Debug, Clone)]
pub enum Rule {
    /// Rows for which `fails` is true fail.
    Rows { fails: Expr },
    /// Rows that have all of `columns` alike fail; those without one of them are left aside, as are those that `filter`
    /// does not hold for.
    Unique { columns: Vec<Expr>, filter: Option<Expr> },
    /// Rows whose value is in no row of another table's column fail.
    Relationship { value: Expr, table: String, column: String, filter: Option<Expr> },
}

/// How old the data of a table may be.
#[derive(Debug, Clone)]
pub struct Freshness {
    pub column: String,
    /// In days; beyond it there is a warning.
    pub warn: Option<i64>,
    /// In days; beyond it the data is late.
    pub error: Option<i64>,
    pub place: Place,
}

/// What holds for every row of a KPI's results.
#[derive(Debug, Clone)]
pub struct Assertion {
    /// In words.
    pub name: String,
    pub place: Place,
    pub severity: TestSeverity,
    /// Over the columns of results, qualified by the KPI's name; a row fails where it is false.
    pub condition: Expr,
}

/// A test of a KPI on given rows.
#[derive(Debug, Clone)]
pub struct GivenTest {
    /// In words.
    pub name: String,
    pub place: Place,
    pub severity: TestSeverity,
    /// The day from whose end it looks.
    pub as_of: NaiveDate,
    /// The rows that stand in the place of files, by table.
    pub given: BTreeMap<String, GivenRows>,
    pub expected: Vec<ExpectedRow>,
}

/// A row that a KPI's result must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedRow {
    pub grain: Grain,
    pub period_start: NaiveDate,
    /// The members by dimension; nothing stands for the member NULL.
    pub members: Vec<(String, Option<String>)>,
    /// What other columns of the row hold.
    pub values: Vec<(String, Option<String>)>,
}
