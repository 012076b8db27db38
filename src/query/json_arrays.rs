//! Files of JSON that hold one array each, and not an object to a line.
//!
//! Such a file cannot be cut into ranges that are read side by side, and DataFusion, which cuts large files, has to be told.

use std::io::Read;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::listing::{ListingTable, ListingTableConfig};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::object_store::ObjectStoreExt;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};

use crate::location::{Location, store_of};

/// So many bytes tell what a file of JSON is.
const BEGINNING: u64 = 256;

/// Whether a file of JSON is one array, and not an object to a line.
pub(super) async fn holds_an_array(state: &SessionState, place: &Location, name: &str) -> bool {
    if !name.to_ascii_lowercase().ends_with(".json") {
        return false;
    }
    let beginning = match place {
        Location::Local(path) => {
            let mut bytes = Vec::new();
            // Of several files the first one speaks for all.
            let pattern = glob::glob(&path.to_string_lossy()).ok().and_then(|mut found| found.next()?.ok());
            let first = if path.exists() { path.clone() } else { pattern.unwrap_or_default() };
            let read = std::fs::File::open(first).and_then(|file| file.take(BEGINNING).read_to_end(&mut bytes));
            read.is_ok().then_some(bytes)
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

/// Reads files as one array each.
pub(super) fn of_arrays(mut config: ListingTableConfig) -> ListingTableConfig {
    if let Some(options) = &mut config.options {
        options.format = Arc::new(JsonFormat::default().with_newline_delimited(false));
    }
    config
}

/// A table of such files.
#[derive(Debug)]
pub(super) struct ArrayTable(pub(super) ListingTable);

#[async_trait]
impl TableProvider for ArrayTable {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        self.0.table_type()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.0.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = self.0.scan(state, projection, filters, limit).await?;
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
