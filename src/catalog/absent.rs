//! A table, or columns of one, that definitions know and files do not have.
//!
//! What stands on them can be planned, so that definitions are checked without data and can tell what they need. Reading
//! them is an error: nothing is made up in their place. A table that may lack its files has no rows instead.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::plan_err;
use datafusion::datasource::{MemTable, ViewTable};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::{Format, Source};
use crate::location::no_stores;

/// The source with further columns that it does not have.
pub fn with_absent_columns(source: Source, columns: &[Field]) -> Source {
    if columns.is_empty() {
        return source;
    }
    let provider = WithAbsent { schema: schema(Some(&source.schema()), columns), files: Some(source.provider) };
    Source { provider: Arc::new(provider), ..source }
}

/// The rows of a query with further columns that it does not give.
pub fn view_with_absent_columns(plan: LogicalPlan, columns: &[Field]) -> Arc<dyn TableProvider> {
    let schema = schema(Some(plan.schema().as_arrow()), columns);
    Arc::new(WithAbsent { files: Some(Arc::new(ViewTable::new(plan, None))), schema })
}

/// A source without files that has the columns.
pub fn absent(columns: &[Field]) -> Source {
    nothing_of(Arc::new(WithAbsent { files: None, schema: schema(None, columns) }))
}

/// A source without rows that has the columns.
///
/// # Errors
/// Where DataFusion does not take the columns, such as two of one name.
pub fn empty(columns: &[Field]) -> Result<Source> {
    let schema = schema(None, columns);
    let rows = RecordBatch::new_empty(schema.clone());
    Ok(nothing_of(Arc::new(MemTable::try_new(schema, vec![vec![rows]])?)))
}

fn nothing_of(provider: Arc<dyn TableProvider>) -> Source {
    let (suggested_types, empty_columns) = (Vec::new(), Vec::new());
    Source { provider, files: Vec::new(), format: Format::Csv, suggested_types, empty_columns, stores: no_stores() }
}

fn schema(files: Option<&Schema>, columns: &[Field]) -> SchemaRef {
    let present = files.into_iter().flat_map(|files| files.fields().iter().cloned());
    Arc::new(Schema::new(present.chain(columns.iter().cloned().map(Arc::new)).collect::<Vec<_>>()))
}

/// The columns of files, and behind them the absent ones.
#[derive(Debug)]
struct WithAbsent {
    /// What there is: files, or a query. None where there is nothing at all.
    files: Option<Arc<dyn TableProvider>>,
    schema: SchemaRef,
}

impl WithAbsent {
    /// How many columns the files have.
    fn present(&self) -> usize {
        self.files.as_ref().map_or(0, |files| files.schema().fields().len())
    }

    fn reads_files_only(&self, filter: &Expr) -> bool {
        let absent = &self.schema.fields()[self.present()..];
        filter.column_refs().iter().all(|column| absent.iter().all(|field| field.name() != column.name()))
    }
}

#[async_trait]
impl TableProvider for WithAbsent {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let Some(files) = &self.files else {
            return Ok(vec![TableProviderFilterPushDown::Unsupported; filters.len()]);
        };
        let of_files: Vec<&Expr> = filters.iter().copied().filter(|filter| self.reads_files_only(filter)).collect();
        let mut answers = files.supports_filters_pushdown(&of_files)?.into_iter();
        let answer = |filter: &&Expr| match self.reads_files_only(filter) {
            true => answers.next().unwrap_or(TableProviderFilterPushDown::Unsupported),
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(answer).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(files) = &self.files else {
            return plan_err!("a table without files was read");
        };
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let asked = projection.unwrap_or(&all);
        if let Some(column) = asked.iter().find(|column| **column >= self.present()) {
            return plan_err!("the column `{}`, which the files lack, was read", self.schema.field(*column).name());
        }
        files.scan(state, Some(asked), filters, limit).await
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Int64Array;
    use datafusion::arrow::datatypes::DataType;
    use datafusion::prelude::SessionContext;

    use super::*;

    fn files() -> Source {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let rows = RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from(vec![1, 2, 3]))]).unwrap();
        nothing_of(Arc::new(MemTable::try_new(schema, vec![vec![rows]]).unwrap()))
    }

    fn text(name: &str) -> Field {
        Field::new(name, DataType::Utf8View, true)
    }

    async fn run(source: Source, sql: &str) -> Result<String> {
        let context = SessionContext::new();
        context.register_table("t", source.provider)?;
        let rows = context.sql(sql).await?.collect().await?;
        Ok(datafusion::arrow::util::pretty::pretty_format_batches(&rows)?.to_string())
    }

    #[tokio::test]
    async fn what_is_there_is_read_and_what_is_not_is_an_error() {
        let source = || with_absent_columns(files(), &[text("m")]);
        assert!(run(source(), "SELECT sum(n) AS s FROM t WHERE n > 1").await.unwrap().contains("| 5 |"));
        assert!(run(source(), "SELECT count(*) AS s FROM (SELECT n, m FROM t)").await.unwrap().contains("| 3 |"));
        for sql in ["SELECT max(m) FROM t", "SELECT n FROM t WHERE m = 'x'", "SELECT * FROM t"] {
            let message = run(source(), sql).await.unwrap_err().to_string();
            assert!(message.contains("the column `m`, which the files lack, was read"), "{sql}: {message}");
        }
        let message = run(absent(&[text("m")]), "SELECT count(*) FROM t").await.unwrap_err().to_string();
        assert!(message.contains("a table without files was read"), "{message}");
        assert!(run(empty(&[text("m")]).unwrap(), "SELECT count(m) AS s FROM t").await.unwrap().contains("| 0 |"));
    }
}
