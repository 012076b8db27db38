//! A table of files that are still those that were opened.
//!
//! What is known of a table (its columns, how they are written, how far its data reaches) is known of files as they were. One
//! that is gone by now would be read as no rows, and one with its columns in another order as something else. So both are refused.
//! Of objects in stores only the size is compared, since stores do not give the same times and marks to all questions.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result, Statistics};
use datafusion::datasource::listing::ListingTable;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::object_store::ObjectMeta;
use datafusion::object_store::path::Path as Key;
use datafusion::physical_plan::ExecutionPlan;

use super::files::{InputFile, listing_url};
use crate::error::Error;
use crate::location::Location;

#[derive(Debug)]
pub(super) struct Unchanged {
    table: ListingTable,
    files: Vec<InputFile>,
}

impl Unchanged {
    pub(super) fn new(table: ListingTable, files: Vec<InputFile>) -> Unchanged {
        Unchanged { table, files }
    }

    /// The first file that is not as it was; of one that is missing as long as nothing else may have left it out.
    fn changed(&self, plan: &Arc<dyn ExecutionPlan>, has_all: bool) -> Option<&InputFile> {
        let mut found = HashMap::new();
        gather(plan, &mut found);
        self.files.iter().find(|file| {
            let key = listing_url(&file.location, false).ok().map(|url| url.prefix().clone());
            match key.and_then(|key| found.get(&key)) {
                Some(now) => !is_same(file, now),
                None => has_all,
            }
        })
    }
}

fn is_same(file: &InputFile, now: &ObjectMeta) -> bool {
    let is_here = matches!(file.location, Location::Local(_));
    let has_time = |modified| !is_here || DateTime::<Utc>::from(modified) == now.last_modified;
    file.bytes == now.size && file.modified.is_none_or(has_time)
}

fn gather(plan: &Arc<dyn ExecutionPlan>, found: &mut HashMap<Key, ObjectMeta>) {
    let scan = plan.downcast_ref::<DataSourceExec>();
    if let Some(config) = scan.and_then(|scan| scan.data_source().downcast_ref::<FileScanConfig>()) {
        let files = config.file_groups.iter().flat_map(|group| group.files());
        found.extend(files.map(|file| (file.object_meta.location.clone(), file.object_meta.clone())));
    }
    plan.children().into_iter().for_each(|child| gather(child, found));
}

#[async_trait]
impl TableProvider for Unchanged {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn table_type(&self) -> TableType {
        self.table.table_type()
    }

    fn statistics(&self) -> Option<Statistics> {
        self.table.statistics()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.table.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // With a limit only some of the files would be listed; the operators above know it as well.
        let plan = self.table.scan(state, projection, filters, None).await?;
        let has_all = filters.is_empty() || self.table.options().table_partition_cols.is_empty();
        match self.changed(&plan, has_all) {
            None => Ok(plan),
            Some(file) => {
                let error = Error::storage(format!("`{}` has changed since it was opened, or is gone", file.location))
                    .with_hint("run again; in a session `\\reload` reads the project again");
                Err(DataFusionError::External(Box::new(error)))
            }
        }
    }
}
