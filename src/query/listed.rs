//! Tables of files that DataFusion lists, without two of its traps: a file that is gone is no table without rows, and a file of
//! JSON that holds one array cannot be cut into ranges that are read side by side.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::listing::ListingTable;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::object_store::ObjectStoreExt;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};

use super::unreadable::files_of;
use crate::error::Error;
use crate::location::{Location, store_of};

/// Files of one table.
#[derive(Debug)]
pub(super) struct Listed {
    table: ListingTable,
    /// What somebody called them.
    name: String,
    can_be_cut: bool,
}

impl Listed {
    pub(super) fn new(table: ListingTable, name: &str, can_be_cut: bool) -> Listed {
        Listed { table, name: name.to_owned(), can_be_cut }
    }
}

#[async_trait]
impl TableProvider for Listed {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn table_type(&self) -> TableType {
        self.table.table_type()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.table.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = self.table.scan(state, projection, filters, limit).await?;
        // Of partitions a condition may leave none.
        let may_be_none = !filters.is_empty() && !self.table.options().table_partition_cols.is_empty();
        if !may_be_none && limit != Some(0) && files_of(&plan).is_empty() {
            let error = Error::config(format!("there is no file at `{}`", self.name));
            return Err(DataFusionError::External(Box::new(error)));
        }
        if self.can_be_cut {
            return Ok(plan);
        }
        let whole = plan.transform_down(|node| {
            let scan = node.downcast_ref::<DataSourceExec>();
            let Some(config) = scan.and_then(|scan| scan.data_source().downcast_ref::<FileScanConfig>()) else {
                return Ok(Transformed::no(node));
            };
            // Where the parts are declared, files are not cut.
            let parts = Partitioning::UnknownPartitioning(config.file_groups.len());
            let mut config = config.clone();
            config.output_partitioning = Some(parts);
            Ok(Transformed::yes(DataSourceExec::from_data_source(config) as Arc<dyn ExecutionPlan>))
        });
        whole.map(|whole| whole.data)
    }
}

/// So many bytes tell what a file of JSON is.
const BEGINNING: u64 = 256;

/// Whether a file of JSON is one array, and not an object to a line.
pub(super) async fn holds_an_array(state: &SessionState, place: &Location, name: &str) -> bool {
    if !name.to_ascii_lowercase().ends_with(".json") {
        return false;
    }
    let beginning = match place {
        Location::Local(path) => {
            let path = path.clone();
            tokio::task::spawn_blocking(move || beginning_of(&path)).await.unwrap_or_default()
        }
        Location::Remote(remote) => {
            let stores = state.runtime_env().object_store_registry.clone();
            match (store_of(&stores, remote), remote.object_key()) {
                (Ok(store), Ok(key)) => store.get_range(&key, 0..BEGINNING).await.ok().map(|bytes| bytes.to_vec()),
                _ => None,
            }
        }
    };
    beginning.is_some_and(|bytes| bytes.trim_ascii_start().starts_with(b"["))
}

fn beginning_of(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    // Of several files the first one speaks for all.
    let pattern = glob::glob(&path.to_string_lossy()).ok().and_then(|mut found| found.next()?.ok());
    let first = if path.exists() { path.to_owned() } else { pattern.unwrap_or_default() };
    let read = std::fs::File::open(first).and_then(|file| file.take(BEGINNING).read_to_end(&mut bytes));
    read.is_ok().then_some(bytes)
}
