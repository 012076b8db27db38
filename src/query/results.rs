//! Published results as tables, each as the newest version has it: `results.close_rate`, and `kpi_values` over all of them.
//!
//! Files are checked against their record before a row of them is read. What was looked up stays for the statement.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::MemTable;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::TableType;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::stream;

use crate::engine::Engine;
use crate::error::Error;
use crate::materialize::parquet::Stored;
use crate::store::{LogRecord, Store};

/// The schema of results.
pub(super) struct Results {
    engine: Arc<Engine>,
    /// The names that the newest version has, as of the last look.
    known: Mutex<Option<Vec<String>>>,
    /// What the statement at hand has looked up: all that it reads is of one version.
    found: Mutex<Option<Option<Found>>>,
}

/// The newest version, and where it lies.
type Found = Arc<(Store, LogRecord)>;

impl fmt::Debug for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Results")
    }
}

fn failed(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl Results {
    pub(super) fn new(engine: Arc<Engine>) -> Results {
        Results { engine, known: Mutex::new(None), found: Mutex::new(None) }
    }

    /// Another statement begins.
    pub(super) fn forget(&self) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn head(&self) -> Result<Option<Found>> {
        if let Some(found) = self.found.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(found);
        }
        let found = self.newest().await?.map(Arc::new);
        Ok(self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(found).clone())
    }

    async fn newest(&self) -> Result<Option<(Store, LogRecord)>> {
        // Without a project that is sound there is no place for results.
        let Ok(store) = self.engine.store() else { return Ok(None) };
        let head = store.head().await.map_err(failed)?;
        let names = head.iter().flat_map(|head| head.kpis.keys().cloned()).collect();
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(names);
        Ok(head.map(|head| (store, head)))
    }

    /// Looks at which results there are now.
    ///
    /// # Errors
    /// As the store cannot be read.
    pub(super) async fn look(&self) -> Result<()> {
        self.forget();
        self.head().await.map(|_| ())
    }

    /// Whether something is published, as of the last look.
    pub(super) fn is_any(&self) -> bool {
        !self.names().is_empty()
    }

    /// The names of the last look.
    fn names(&self) -> Vec<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        known.unwrap_or_default()
    }
}

#[async_trait]
impl SchemaProvider for Results {
    fn table_names(&self) -> Vec<String> {
        self.names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(found) = self.head().await? else { return Ok(None) };
        let (store, head) = found.as_ref();
        if let Some(stored) = store.open_kpi(head, name).await.map_err(failed)? {
            return Ok(Some(Arc::new(table_of(stored)?)));
        }
        let Some(rows) = store.read_kpi(head, name).await.map_err(failed)? else { return Ok(None) };
        let Some(first) = rows.first() else { return Ok(None) };
        Ok(Some(Arc::new(MemTable::try_new(first.schema(), vec![rows])?)))
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        Ok(self.table_exist(name).then_some(TableType::Base))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.names().iter().any(|known| known == name)
    }
}

/// The groups of rows of a file, each read when its turn comes.
fn table_of(stored: Stored) -> Result<StreamingTable> {
    let schema = plain(stored.schema());
    let stored = Arc::new(stored);
    let groups = (0..stored.groups().max(1)).map(|group| {
        let group = Group { stored: stored.clone(), schema: schema.clone(), group };
        Arc::new(group) as Arc<dyn PartitionStream>
    });
    StreamingTable::try_new(schema.clone(), groups.collect())
}

/// Without what the file notes about itself.
fn plain(schema: &SchemaRef) -> SchemaRef {
    Arc::new(schema.as_ref().clone().with_metadata(Default::default()))
}

struct Group {
    stored: Arc<Stored>,
    schema: SchemaRef,
    group: usize,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rows published, group {}", self.group)
    }
}

impl PartitionStream for Group {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let groups = if self.stored.groups() == 0 { Vec::new() } else { vec![self.group] };
        let (stored, schema) = (self.stored.clone(), self.schema.clone());
        let read = stream::once(async move {
            let batches = stored.read(groups).map_err(DataFusionError::from)?;
            let plain = |batch: RecordBatch| RecordBatch::try_new(schema.clone(), batch.columns().to_vec());
            let batches = batches.into_iter().map(|batch| plain(batch).map_err(DataFusionError::from));
            Ok::<_, DataFusionError>(stream::iter(batches.collect::<Vec<_>>()))
        });
        let rows = futures::TryStreamExt::try_flatten(read);
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows))
    }
}
