//! The rows of a plan, made once for several that read them: in memory as long as they are few, else in temporary files.
//!
//! Nobody but this process reads those files, and they go with the rows. Where neither memory nor disk has room, there are no
//! such rows, and whoever would have read them makes them by itself.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::BatchCoalescer;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{Result, exec_datafusion_err, internal_datafusion_err};
use datafusion::datasource::MemTable;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, SpillFile, SpillWriter, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties};
use datafusion::prelude::{DataFrame, SessionContext};
use futures::StreamExt;

use crate::catalog;

/// Rows that were made.
pub struct Spooled {
    pub provider: Arc<dyn TableProvider>,
    pub count: usize,
    /// Held as long as the rows are.
    _memory: Arc<Room>,
    _files: Vec<Arc<dyn SpillFile>>,
}

/// What all parts of a plan may hold in memory.
struct Room {
    memory: MemoryReservation,
    most: usize,
    is_full: AtomicBool,
}

/// Makes the rows of a plan.
///
/// # Errors
/// As the plan fails, and where there is no room for its rows.
pub async fn spool(context: &SessionContext, name: &str, plan: LogicalPlan) -> Result<Spooled> {
    const MOST: usize = 64 << 20;
    const PART: usize = 64;
    let pool = context.runtime_env().memory_pool.clone();
    let most = match pool.memory_limit() {
        MemoryLimit::Finite(bytes) => MOST.min(bytes / PART),
        MemoryLimit::Infinite | MemoryLimit::Unknown => MOST,
    };
    let memory = MemoryConsumer::new(format!("rows of {name}")).register(&pool);
    let room = Arc::new(Room { memory, most, is_full: AtomicBool::new(false) });
    let streams = DataFrame::new(context.state(), plan).execute_stream_partitioned().await?;
    let schema = streams.first().map(|stream| stream.schema());
    let schema = schema.ok_or_else(|| internal_datafusion_err!("a plan without parts"))?;
    // Tasks of their own, so that parts share the cores; dropping them ends them.
    let parts = streams.into_iter().map(|stream| {
        let part = Part::new(name, stream.schema(), room.clone(), context.task_ctx());
        SpawnedTask::spawn(part.filled(stream))
    });
    let mut filled = Vec::new();
    for part in parts.collect::<Vec<_>>() {
        filled.push(part.join().await.map_err(|error| exec_datafusion_err!("a part of rows broke off: {error}"))??);
    }
    let count = filled.iter().map(|part| part.count).sum();
    let mut files = Vec::new();
    let provider: Arc<dyn TableProvider> = if room.is_full.load(Ordering::Relaxed) {
        let mut paths: Vec<PathBuf> = Vec::new();
        for part in filled.into_iter().filter(|part| part.count > 0) {
            let file = part.into_file()?;
            let path = file.path().ok_or_else(|| internal_datafusion_err!("a temporary file without a path"))?;
            paths.push(path.to_owned());
            files.push(file);
        }
        room.memory.free();
        catalog::parquet_files(&paths, schema)?
    } else {
        Arc::new(MemTable::try_new(schema, filled.into_iter().map(|part| part.batches).collect())?)
    };
    Ok(Spooled { provider, count, _memory: room, _files: files })
}

/// The rows of one partition, in batches of an even size and with texts of their own: what comes out of joins is small, and
/// holds on to much.
struct Part {
    name: String,
    room: Arc<Room>,
    context: Arc<TaskContext>,
    coalescer: BatchCoalescer,
    batches: Vec<RecordBatch>,
    count: usize,
    file: Option<TemporaryFile>,
    schema: SchemaRef,
}

/// A file that is being written.
struct TemporaryFile {
    file: Arc<dyn SpillFile>,
    writer: ArrowWriter<Box<dyn SpillWriter>>,
}

impl Part {
    fn new(name: &str, schema: SchemaRef, room: Arc<Room>, context: Arc<TaskContext>) -> Part {
        const ROWS: usize = 8192;
        let coalescer = BatchCoalescer::new(schema.clone(), ROWS);
        Part { name: name.to_owned(), room, context, coalescer, batches: Vec::new(), count: 0, file: None, schema }
    }

    async fn filled(mut self, mut rows: SendableRecordBatchStream) -> Result<Part> {
        while let Some(batch) = rows.next().await.transpose()? {
            self.coalescer.push_batch(batch)?;
            self.take()?;
        }
        self.coalescer.finish_buffered_batch()?;
        self.take()?;
        Ok(self)
    }

    /// Keeps the batches that are full.
    fn take(&mut self) -> Result<()> {
        while let Some(batch) = self.coalescer.next_completed_batch() {
            self.count += batch.num_rows();
            let Room { memory, most, is_full } = self.room.as_ref();
            let fits = memory.try_grow(batch.get_array_memory_size()).is_ok() && memory.size() <= *most;
            self.batches.push(batch);
            if !fits {
                is_full.store(true, Ordering::Relaxed);
            }
            if is_full.load(Ordering::Relaxed) {
                self.write()?;
            }
        }
        Ok(())
    }

    /// Brings everything that is in memory into the file.
    fn write(&mut self) -> Result<()> {
        if self.file.is_none() {
            const ROWS_OF_A_GROUP: usize = 1 << 16;
            let file = self.context.runtime_env().disk_manager.create_tmp_file(&format!("rows of {}", self.name))?;
            let settings = WriterProperties::builder()
                .set_max_row_group_row_count(Some(ROWS_OF_A_GROUP))
                .set_statistics_enabled(EnabledStatistics::Chunk)
                .build();
            let writer = ArrowWriter::try_new(file.open_writer()?, self.schema.clone(), Some(settings))?;
            self.file = Some(TemporaryFile { file, writer });
        }
        let Some(TemporaryFile { writer, .. }) = &mut self.file else { return Ok(()) };
        for batch in self.batches.drain(..) {
            writer.write(&batch)?;
        }
        Ok(())
    }

    fn into_file(mut self) -> Result<Arc<dyn SpillFile>> {
        self.write()?;
        let TemporaryFile { file, writer } =
            self.file.ok_or_else(|| internal_datafusion_err!("a part without a file"))?;
        writer.into_inner()?.finish()?;
        Ok(file)
    }
}
