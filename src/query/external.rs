//! `CREATE EXTERNAL TABLE ... STORED AS CSV` without columns: read as CSV in quotes is, so that a code such as 007 stays a text.
//!
//! Whoever names columns, or options beyond a delimiter and a quote, gets what DataFusion makes of it.

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider, TableProviderFactory};
use datafusion::common::Result;
use datafusion::datasource::ViewTable;
use datafusion::datasource::listing_table_factory::ListingTableFactory;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{CreateExternalTable, Expr, LogicalPlan, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::files::{csv, place_of};
use crate::catalog::{CsvOptions, SourceOptions};

/// Makes tables of CSV files.
#[derive(Debug, Default)]
pub(super) struct CsvTables {
    others: ListingTableFactory,
}

/// The word that statements have for them.
pub(super) const CSV: &str = "CSV";

#[async_trait]
impl TableProviderFactory for CsvTables {
    async fn create(&self, state: &dyn Session, create: &CreateExternalTable) -> Result<Arc<dyn TableProvider>> {
        let known = state.as_any().downcast_ref::<SessionState>().zip(plain_options(create));
        match (known, create.locations.as_slice()) {
            (Some((state, options)), [location]) => {
                let (place, _) = place_of(location)?;
                let rows = csv(state, &place, location, &options).await?;
                Ok(Arc::new(CsvTable { rows }))
            }
            _ => self.others.create(state, create).await,
        }
    }
}

/// How the files are written, where nothing is said that has to be left to DataFusion.
fn plain_options(create: &CreateExternalTable) -> Option<SourceOptions> {
    let is_plain = create.schema.fields().is_empty()
        && create.table_partition_cols.is_empty()
        && create.order_exprs.is_empty()
        && !create.unbounded;
    let mut csv = CsvOptions::default();
    for (name, value) in &create.options {
        let name = name.to_ascii_lowercase();
        match (name.strip_prefix("format.").unwrap_or(&name), value.as_bytes()) {
            ("delimiter", [byte]) => csv.delimiter = Some(*byte),
            ("quote", [byte]) => csv.quote = *byte,
            ("has_header", b"true") => {}
            _ => return None,
        }
    }
    is_plain.then_some(SourceOptions { csv, partitions: Vec::new() })
}

/// A view that can be dropped as the table that somebody made.
#[derive(Debug)]
struct CsvTable {
    rows: ViewTable,
}

#[async_trait]
impl TableProvider for CsvTable {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        self.rows.get_logical_plan()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.rows.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.rows.scan(state, projection, filters, limit).await
    }
}
