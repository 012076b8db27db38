//! The operator: every part of its input grouped by a task of its own, the parts brought together, the cells rolled up.
//!
//! Its memory is accounted in the pool. It does not spill: where the pool has no more, it fails, and whoever planned it
//! takes fewer measures at once, or DataFusion's own operators, which do.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::AsArray;
use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::compute::{cast, max, min};
use datafusion::arrow::datatypes::{DataType, Date32Type, SchemaRef};
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, exec_datafusion_err, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, Gauge, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};

use super::codes::Codes;
use super::distinct::Bits;
use super::leaves::{Cell, Estimate, Leaf, leaves};
use super::measures::{Inputs, Measure};
use super::rollup::RollUp;
use super::table::Table;
use crate::time::Calendar;

/// What is computed over the rows that come.
#[derive(Debug)]
pub(super) struct Cube {
    pub day: Arc<dyn PhysicalExpr>,
    pub dimensions: Vec<Arc<dyn PhysicalExpr>>,
    pub measures: Vec<Measure>,
    pub inputs: Inputs,
    pub cells: Vec<Cell>,
    pub calendar: Calendar,
}

/// Many cells in one pass. One output partition; the rows of each cell come together.
#[derive(Debug)]
pub struct CubeExec {
    cube: Arc<Cube>,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl CubeExec {
    pub(super) fn new(cube: Arc<Cube>, input: Arc<dyn ExecutionPlan>, schema: SchemaRef) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        CubeExec { cube, input, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl DisplayAs for CubeExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let Cube { dimensions, measures, cells, .. } = self.cube.as_ref();
        match format {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                let dimensions: Vec<String> = dimensions.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "CubeExec: cells={}, dimensions=[{}], measures={}",
                    cells.len(),
                    dimensions.join(", "),
                    measures.len()
                )
            }
            DisplayFormatType::TreeRender => write!(f, "cells={}\nmeasures={}", cells.len(), measures.len()),
        }
    }
}

impl ExecutionPlan for CubeExec {
    fn name(&self) -> &'static str {
        "CubeExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![true]
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let Cube { day, dimensions, inputs, .. } = self.cube.as_ref();
        for expression in [day].into_iter().chain(dimensions).chain(inputs.expressions()) {
            if visit(expression)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(input) if children.is_empty() => Ok(Arc::new(Self::new(self.cube.clone(), input, self.schema()))),
            _ => internal_err!("a cube has one input"),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("a cube has one partition, not {partition}");
        }
        let parts = self.input.properties().output_partitioning().partition_count();
        let streams = (0..parts).map(|part| self.input.execute(part, context.clone())).collect::<Result<Vec<_>>>()?;
        let run = Run {
            cube: self.cube.clone(),
            schema: self.schema(),
            rows: self.input_rows(),
            chosen: OnceLock::new(),
            metrics: Metrics {
                baseline: BaselineMetrics::new(&self.metrics, partition),
                leaves: MetricBuilder::new(&self.metrics).gauge("leaves", partition),
                groups: MetricBuilder::new(&self.metrics).counter("groups", partition),
                memory: MetricBuilder::new(&self.metrics).gauge("memory", partition),
            },
        };
        let run = Arc::new(run);
        let reservation =
            |part: usize| MemoryConsumer::new(format!("CubeExec[{part}]")).register(context.memory_pool());
        let parts: Vec<(SendableRecordBatchStream, MemoryReservation)> =
            streams.into_iter().enumerate().map(|(part, stream)| (stream, reservation(part))).collect();
        let cells = stream::once(run.roll_up(parts)).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), cells)))
    }
}

impl CubeExec {
    /// How many rows seem to come.
    fn input_rows(&self) -> f64 {
        const UNKNOWN: f64 = 1e7;
        let context = datafusion::physical_plan::statistics::StatisticsContext::new();
        let statistics = context.compute(self.input.as_ref(), &Default::default());
        statistics.ok().and_then(|known| known.num_rows.get_value().copied()).map_or(UNKNOWN, |rows| rows as f64)
    }
}

struct Metrics {
    baseline: BaselineMetrics,
    /// How many sets were grouped row by row.
    leaves: Gauge,
    groups: Count,
    /// The most bytes held at once.
    memory: Gauge,
}

/// One execution.
struct Run {
    cube: Arc<Cube>,
    schema: SchemaRef,
    rows: f64,
    /// Decided with the first rows that come, for all parts.
    chosen: OnceLock<Vec<Leaf>>,
    metrics: Metrics,
}

impl Run {
    async fn roll_up(
        self: Arc<Self>,
        parts: Vec<(SendableRecordBatchStream, MemoryReservation)>,
    ) -> Result<impl stream::Stream<Item = Result<RecordBatch>>> {
        let threads = parts.len().max(1);
        let tasks: Vec<_> = parts
            .into_iter()
            .map(|(stream, reservation)| SpawnedTask::spawn(self.clone().group(stream, reservation)))
            .collect();
        let mut tables = Vec::new();
        let mut reservations = Vec::new();
        for task in tasks {
            let (table, reservation) =
                task.join().await.map_err(|error| exec_datafusion_err!("a part of a pass broke off: {error}"))??;
            tables.extend(table);
            reservations.push(reservation);
        }
        let memory: usize = reservations.iter().map(MemoryReservation::size).sum();
        self.metrics.memory.set_max(memory);
        let run = self.clone();
        let merged = blocking(move || run.merged(tables)).await??;
        let Some(merged) = merged else { return Ok(stream::iter(Vec::new()).boxed()) };

        // Each thread takes the next cell; where the stream is dropped, they end with the one at hand.
        let (merged, next) = (Arc::new(merged), Arc::new(AtomicUsize::new(0)));
        let stop = Arc::new(AtomicBool::new(false));
        let guard = StopOnDrop(stop.clone());
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                let (merged, next, stop) = (merged.clone(), next.clone(), stop.clone());
                blocking(move || {
                    let mut bits = Bits::default();
                    let mut done = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let cell = next.fetch_add(1, Ordering::Relaxed);
                        if cell >= merged.cells.len() {
                            break;
                        }
                        done.push((cell, merged.cell(cell, &mut bits)?));
                    }
                    Ok(done)
                })
            })
            .collect();
        let mut done: Vec<(usize, RecordBatch)> = Vec::new();
        for worker in futures::future::join_all(workers).await {
            let of_worker: Result<Vec<(usize, RecordBatch)>> = worker?;
            done.extend(of_worker?);
        }
        drop(guard);
        drop(reservations);
        done.sort_by_key(|(cell, _)| *cell);
        done.iter().for_each(|(_, rows)| {
            self.metrics.baseline.record_output(rows.num_rows());
        });
        self.metrics.baseline.done();
        Ok(stream::iter(done.into_iter().map(|(_, rows)| Ok(rows))).boxed())
    }

    /// The groups of one part of the rows; nothing where it has none.
    async fn group(
        self: Arc<Self>,
        mut rows: SendableRecordBatchStream,
        reservation: MemoryReservation,
    ) -> Result<(Option<Table>, MemoryReservation)> {
        let mut table: Option<Table> = None;
        while let Some(batch) = rows.next().await.transpose()? {
            if batch.num_rows() == 0 {
                continue;
            }
            let _timer = self.metrics.baseline.elapsed_compute().timer();
            if table.is_none() {
                table = Some(Table::new(&self.cube, self.leaves(&batch)?, &batch.schema())?);
            }
            if let Some(table) = &mut table {
                table.add(&self.cube, &batch)?;
                reservation.try_resize(table.size())?;
            }
        }
        Ok((table, reservation))
    }

    fn leaves(&self, rows: &RecordBatch) -> Result<&[Leaf]> {
        if self.chosen.get().is_none() {
            let chosen = leaves(&self.cube.cells, &self.estimate(rows)?);
            self.metrics.leaves.set(chosen.len());
            // Another part may have been first; then its choice holds.
            let _ = self.chosen.set(chosen);
        }
        Ok(self.chosen.get().map_or(&[], Vec::as_slice))
    }

    /// What the first rows say of all.
    fn estimate(&self, rows: &RecordBatch) -> Result<Estimate> {
        let seen = rows.num_rows();
        let scale = (self.rows / seen as f64).max(1.0);
        let mut members = Vec::new();
        for dimension in &self.cube.dimensions {
            let array = dimension.evaluate(rows)?.into_array(seen)?;
            let mut codes = Codes::new(array.data_type())?;
            codes.encode(&array, &mut Vec::new())?;
            let found = codes.len() - 1;
            // Where nearly every row has a member of its own, so have those to come.
            members.push(if found * 4 < seen { found.max(1) as f64 } else { found as f64 * scale });
        }
        let days = cast(&self.cube.day.evaluate(rows)?.into_array(seen)?, &DataType::Date32)?;
        let days = days.as_primitive::<Date32Type>();
        let span = match (min(days), max(days)) {
            (Some(first), Some(last)) => f64::from(last - first + 1),
            _ => 1.0,
        };
        // Rows in the order of time show a few days of many; without order they show all.
        const FEW: f64 = 1000.0;
        Ok(Estimate { rows: self.rows.max(seen as f64), days: span.max(FEW.min(span * scale)), members })
    }

    fn merged(&self, tables: Vec<Table>) -> Result<Option<RollUp>> {
        let mut tables = tables.into_iter();
        let Some(mut all) = tables.next() else { return Ok(None) };
        for table in tables {
            all.adopt(&self.cube, table)?;
        }
        self.metrics.groups.add(all.groups());
        let Cube { calendar, cells, measures, .. } = self.cube.as_ref();
        RollUp::new(all, calendar.clone(), cells.clone(), measures.clone(), self.schema.clone()).map(Some)
    }
}

struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Work without waiting, on a thread that may be kept busy.
fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> impl Future<Output = Result<T>> {
    let task = SpawnedTask::spawn_blocking(work);
    async { task.join().await.map_err(|error| exec_datafusion_err!("a part of a pass broke off: {error}")) }
}
