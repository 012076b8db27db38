//! Statements that a session does not run, although DataFusion would: what changes the project, what would write where it is only
//! to be explained, and what cannot be meant.

use datafusion::logical_expr::{DdlStatement, LogicalPlan};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;

use super::mistakes::{Failure, Written};
use super::{DEFINITIONS, QuerySession, RESULTS};

/// # Errors
/// With what to write instead.
pub(super) fn refuse(plan: &LogicalPlan, session: &QuerySession, written: &Written) -> Result<(), Failure> {
    match plan {
        LogicalPlan::Projection(rows) if rows.expr.is_empty() => {
            let hint = "write `SELECT *`, or the columns that are wanted";
            Err(written.mistake("the statement names no columns", Some("select"), Some(hint.to_owned())))
        }
        LogicalPlan::Analyze(analyze) if writes(&analyze.input) => {
            let message = "`EXPLAIN ANALYZE` runs what it explains, and this statement writes";
            let hint = "`EXPLAIN` alone shows how it would run";
            Err(written.mistake(message, Some("analyze"), Some(hint.to_owned())))
        }
        _ => refuse_changes(plan, session, written),
    }
}

/// Words that DataFusion reads and passes over.
///
/// # Errors
/// With the words.
pub(super) fn refuse_words(statement: &Statement, written: &Written) -> Result<(), Failure> {
    let Statement::Statement(statement) = statement else { return Ok(()) };
    let SqlStatement::Query(query) = statement.as_ref() else { return Ok(()) };
    match () {
        () if !query.locks.is_empty() => Err(written.mistake("rows cannot be locked here", Some("for"), None)),
        () if query.for_clause.is_some() => {
            let hint = "`\\mode json`, or `kpi sql --format json`, writes rows as JSON";
            Err(written.mistake("`FOR` with a format is not known here", Some("for"), Some(hint.to_owned())))
        }
        () => Ok(()),
    }
}

/// Whether something is different once it has run.
pub(super) fn writes(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Copy(_) | LogicalPlan::Dml(_) | LogicalPlan::Ddl(_))
}

/// A session reads the project's tables, and neither writes nor drops them.
fn refuse_changes(plan: &LogicalPlan, session: &QuerySession, written: &Written) -> Result<(), Failure> {
    let (name, what) = match plan {
        LogicalPlan::Ddl(DdlStatement::DropTable(drop)) => (&drop.name, "dropped"),
        LogicalPlan::Ddl(DdlStatement::DropView(drop)) => (&drop.name, "dropped"),
        LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(create)) => (&create.name, "replaced"),
        LogicalPlan::Ddl(DdlStatement::CreateView(create)) => (&create.name, "replaced"),
        LogicalPlan::Ddl(DdlStatement::CreateExternalTable(create)) => (&create.name, "replaced"),
        LogicalPlan::Dml(dml) => (&dml.table_name, "changed"),
        _ => return Ok(()),
    };
    if matches!(name.schema(), Some(RESULTS | DEFINITIONS)) {
        let message = format!("`{name}` is what the project says and cannot be {what} by a statement");
        return Err(written.mistake(message, Some(name.table()), None));
    }
    if !session.is_project_table(name) {
        return Ok(());
    }
    let table = name.table();
    let message = format!("`{table}` is a table of the project and cannot be {what} by a statement");
    let hint = match what {
        "replaced" => "choose another name; tables of a session stand beside those of the project".to_owned(),
        _ => format!("`CREATE TABLE my_{table} AS SELECT * FROM {table}` makes one that can"),
    };
    Err(written.mistake(message, Some(table), Some(hint)))
}
