//! What analysts assert about results, on the rows that a KPI has just been given.

use std::sync::Arc;

use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use datafusion::catalog::MemTable;
use datafusion::common::{Result as QueryResult, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::SessionContext;

use super::{EXAMPLES, Examples, Failure, Verdict};
use crate::error::Result;
use crate::execute::{KpiResult, collect, query_error};
use crate::model::Assertion;
use crate::report::format_number;

/// Whether an assertion holds for every row of a result.
pub async fn assertion_test(context: &SessionContext, result: &KpiResult, assertion: &Assertion) -> Verdict {
    match failing_rows(context, result, assertion).await {
        Ok(rows) if rows.num_rows() == 0 => Verdict::Passed,
        Ok(rows) => failure(&rows, result.rows.num_rows(), assertion)
            .map_or_else(|error| Verdict::Broken { error }, Verdict::Failed),
        Err(error) => Verdict::Broken { error },
    }
}

async fn failing_rows(context: &SessionContext, result: &KpiResult, assertion: &Assertion) -> Result<RecordBatch> {
    let plan = || -> QueryResult<LogicalPlan> {
        let rows = MemTable::try_new(result.rows.schema(), vec![vec![result.rows.clone()]])?;
        let name = TableReference::bare(result.kpi.name.as_str());
        let rows = LogicalPlanBuilder::scan(name, provider_as_source(Arc::new(rows)), None)?;
        rows.filter(assertion.condition.clone().is_false())?.build()
    };
    let (schema, batches) = collect(context, plan().map_err(query_error)?).await?;
    concat_batches(&schema, &batches).map_err(|error| query_error(error.into()))
}

fn failure(rows: &RecordBatch, all: usize, assertion: &Assertion) -> Result<Failure> {
    let grouped = |number: usize| format_number(Some(number as f64), None, None);
    let values = if all == 1 { "value" } else { "values" };
    let shown = rows.slice(0, rows.num_rows().min(EXAMPLES));
    let shown = shown.project(&columns_to_show(&shown, assertion)).map_err(|error| query_error(error.into()))?;
    Ok(Failure {
        message: format!("{} of {} {values}", grouped(rows.num_rows()), grouped(all)),
        rows: Some(rows.num_rows() as u64),
        examples: Examples::of(&shown, EXAMPLES)?,
    })
}

/// Grain, period and members, then what the assertion looks at.
fn columns_to_show(rows: &RecordBatch, assertion: &Assertion) -> Vec<usize> {
    let schema = rows.schema();
    let index = |name: &str| schema.index_of(name).ok();
    let mut shown: Vec<usize> = ["grain", "period_start"].into_iter().filter_map(index).collect();
    let members = index("breakdown").map_or(0, |index| index + 1)..index("value").unwrap_or(0);
    shown.extend(members.filter(|member| rows.column(*member).null_count() < rows.num_rows()));
    let mut looked_at: Vec<usize> =
        assertion.condition.column_refs().into_iter().filter_map(|column| index(&column.name)).collect();
    looked_at.sort_unstable();
    looked_at.retain(|column| !shown.contains(column));
    shown.extend(looked_at);
    shown
}
