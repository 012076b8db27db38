//! The rows of a plan, made once for several that read them: in memory as long as they are few, else in temporary files.
//!
//! Nobody but this process reads those files, and they go with the rows. Where neither memory nor disk has room, or a column
//! cannot stand in a file (an interval), there are no such rows, and whoever would have read them makes them by itself.

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
    /// How many bytes of the batches are accounted.
    booked: usize,
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
        Part {
            name: name.to_owned(),
            room,
            context,
            coalescer,
            batches: Vec::new(),
            count: 0,
            booked: 0,
            file: None,
            schema,
        }
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
            let bytes = batch.get_array_memory_size();
            self.batches.push(batch);
            if !is_full.load(Ordering::Relaxed) && memory.try_grow(bytes).is_ok() {
                self.booked += bytes;
                is_full.fetch_or(memory.size() > *most, Ordering::Relaxed);
            } else {
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
        // A row group is in memory until it is whole.
        const ROWS_OF_A_GROUP: usize = 1 << 16;
        const BYTES_OF_A_GROUP: usize = 8 << 20;
        if self.file.is_none() {
            let file = self.context.runtime_env().disk_manager.create_tmp_file(&format!("rows of {}", self.name))?;
            let settings = WriterProperties::builder()
                .set_max_row_group_row_count(Some(ROWS_OF_A_GROUP))
                .set_max_row_group_bytes(Some(BYTES_OF_A_GROUP))
                .set_statistics_enabled(EnabledStatistics::Chunk)
                .build();
            let writer = ArrowWriter::try_new(file.open_writer()?, self.schema.clone(), Some(settings))?;
            self.file = Some(TemporaryFile { file, writer });
        }
        let Some(TemporaryFile { writer, .. }) = &mut self.file else { return Ok(()) };
        for batch in self.batches.drain(..) {
            writer.write(&batch)?;
        }
        self.room.memory.shrink(std::mem::take(&mut self.booked));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{SessionOptions, open};
    use datafusion::arrow::util::pretty::pretty_format_batches;

    /// Two parts, of which one has few rows and the other one many.
    const ROWS: &str = "SELECT n, 'text ' || n AS t, CAST(n AS DECIMAL(12, 2)) / 4 AS d, DATE '2025-01-01' + n AS day, \
                        to_timestamp_micros(n * 1000) AS moment, n % 3 = 0 AS b, CAST(n AS DOUBLE) / 7 AS f, \
                        CASE WHEN n % 5 > 0 THEN n END AS maybe \
                        FROM (SELECT CAST(v AS INT) AS n FROM generate_series(1, 40000) AS s (v) \
                        UNION ALL SELECT CAST(v AS INT) FROM generate_series(1, 10) AS s (v))";

    async fn text(context: &SessionContext, relation: &str) -> String {
        let sql = format!(
            "SELECT count(*), sum(n), min(t), max(t), sum(d), min(day), max(moment), count(*) FILTER (WHERE b), \
             round(sum(f), 6), count(maybe), sum(length(t)) FROM (SELECT * FROM {relation}) AS r"
        );
        let rows = context.sql(&sql).await.unwrap().collect().await.unwrap();
        // Its first lines name the relation.
        pretty_format_batches(&rows).unwrap().to_string().lines().skip(3).collect()
    }

    #[tokio::test]
    async fn rows_are_the_same_in_memory_and_in_files() {
        for (memory_limit, in_files) in [(1 << 30, false), (16 << 20, true)] {
            let options = SessionOptions { memory_limit: Some(memory_limit), ..SessionOptions::default() };
            let context = open(&options).unwrap();
            let plan = context.sql(ROWS).await.unwrap().into_unoptimized_plan();
            let spooled = spool(&context, "numbers", plan).await.unwrap();
            assert_eq!((spooled.count, !spooled._files.is_empty()), (40_010, in_files));
            context.register_table("spooled", spooled.provider.clone()).unwrap();
            assert_eq!(text(&context, "spooled").await, text(&context, &format!("({ROWS})")).await);
            let paths: Vec<PathBuf> = spooled._files.iter().filter_map(|file| Some(file.path()?.to_owned())).collect();
            assert!(paths.iter().all(|path| path.exists()));
            context.deregister_table("spooled").unwrap();
            drop(spooled);
            assert!(!paths.iter().any(|path| path.exists()), "files go with the rows");
        }
    }

    #[tokio::test]
    async fn what_fails_says_why() {
        let context = open(&SessionOptions::default()).unwrap();
        let sql = "SELECT CAST('x' || v AS INT) AS n FROM generate_series(1, 3) AS s (v)";
        let plan = context.sql(sql).await.unwrap().into_unoptimized_plan();
        let failed = spool(&context, "numbers", plan).await.err().unwrap();
        assert!(failed.to_string().contains("Cannot cast"), "{failed}");
    }
}
