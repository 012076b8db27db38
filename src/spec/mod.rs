//! What analysts write, exactly as written, with the place of every word.
//!
//! These types are the definition language: `load` reads files into them, and the JSON Schema that editors use is made
//! from them. They hold no judgement. Whether a name exists or an expression makes sense is decided in `validate`, which
//! turns a `KpiSpec` into a `Kpi`.

mod kpi;
mod objective;
mod project;
pub mod schema;
mod source;
mod spanned;
mod table;
mod testing;

pub use kpi::{
    At, BenchmarkSpec, Better, CohortSpec, ConversionSpec, CountOn, Fill, InputSpec, KpiSpec, PartSpec, StepSpec,
    StockSpec, TargetForm, TargetSpec,
};
pub use objective::ObjectiveSpec;
pub use project::{IncludeSpec, Override, ProjectSpec, SettingValue};
pub use source::{line_column_to_char, source_span};
pub use spanned::{OneOrMany, Pairs, SCALAR, SPANNED, SPANNED_FIELDS, Spanned};
pub use table::{ColumnSpec, CsvSpec, DimensionSpec, FreshnessSpec, JoinSpec, MissingColumns, MissingFiles, TableSpec};
pub use testing::{
    ColumnTestSpec, GivenRowSpec, GivenTableSpec, GivenValue, KpiTestSpec, Literal, RowTestSpec, TestSeverity,
};

/// One YAML document, or the header of one `.sql` file. The first key says what it is.
#[derive(Debug, Clone)]
pub enum Document {
    Project(ProjectSpec),
    Objective(ObjectiveSpec),
    Table(TableSpec),
    Kpi(KpiSpec),
}
