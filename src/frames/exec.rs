//! The operator: takes all rows of its input, numbers their groups, and walks through the frames of each.
//!
//! Its memory is accounted in the pool. It does not spill: where the pool has no more, it fails, and whoever planned it takes
//! joins instead, which do.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{Field, Int64Type, Schema, SchemaRef};
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, exec_datafusion_err, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::EmitTo;
use datafusion::physical_expr::{Distribution, EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, Gauge, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};

use super::steps::{Parts, Rows, Walk};
use super::{FrameDays, FrameMeasure, Function};

/// What is computed over the rows that come.
#[derive(Debug)]
pub(super) struct Frames {
    /// When a row comes, when it goes, the keys, then what the measures need.
    pub columns: Vec<Arc<dyn PhysicalExpr>>,
    pub keys: usize,
    pub measures: Vec<FrameMeasure>,
    pub days: Arc<FrameDays>,
    pub schema: SchemaRef,
}

/// Rows that count in many frames. One input partition, one output partition.
#[derive(Debug)]
pub struct FramesExec {
    frames: Arc<Frames>,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl FramesExec {
    pub(super) fn new(frames: Arc<Frames>, input: Arc<dyn ExecutionPlan>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(frames.schema.clone()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        FramesExec { frames, input, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl DisplayAs for FramesExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let Frames { days, keys, measures, .. } = self.frames.as_ref();
        let (frames, measures) = (days.starts.len(), measures.len());
        match format {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "FramesExec: frames={frames}, keys={keys}, measures={measures}")
            }
            DisplayFormatType::TreeRender => write!(f, "frames={frames}\nmeasures={measures}"),
        }
    }
}

impl ExecutionPlan for FramesExec {
    fn name(&self) -> &'static str {
        "FramesExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition]
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for expression in &self.frames.columns {
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
            Some(input) if children.is_empty() => Ok(Arc::new(Self::new(self.frames.clone(), input))),
            _ => internal_err!("frames have one input"),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let parts = self.input.properties().output_partitioning().partition_count();
        if partition != 0 || parts != 1 {
            return internal_err!("frames have one partition of one, not {partition} of {parts}");
        }
        let run = Run {
            frames: self.frames.clone(),
            baseline: BaselineMetrics::new(&self.metrics, partition),
            memory: MetricBuilder::new(&self.metrics).gauge("memory", partition),
            reservation: MemoryConsumer::new("FramesExec").register(context.memory_pool()),
            rows_at_once: context.session_config().batch_size(),
        };
        let rows = self.input.execute(0, context)?;
        let batches = stream::once(run.walk(rows)).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}

/// One execution.
struct Run {
    frames: Arc<Frames>,
    baseline: BaselineMetrics,
    /// The most bytes held at once.
    memory: Gauge,
    reservation: MemoryReservation,
    rows_at_once: usize,
}

impl Run {
    async fn walk(
        self,
        mut rows: SendableRecordBatchStream,
    ) -> Result<impl stream::Stream<Item = Result<RecordBatch>> + use<>> {
        let mut gathered = Gathered::new(&self.frames, &rows.schema())?;
        while let Some(batch) = rows.next().await.transpose()? {
            let _timer = self.baseline.elapsed_compute().timer();
            gathered.add(&self.frames, &batch)?;
            self.reservation.try_resize(gathered.size(&self.frames))?;
            self.memory.set_max(self.reservation.size());
        }
        let frames = self.frames.clone();
        // Sorting keeps a core busy.
        let sorted = SpawnedTask::spawn_blocking(move || gathered.walk(&frames));
        let walk = sorted
            .join()
            .await
            .map_err(|error| exec_datafusion_err!("the walk through frames broke off: {error}"))??;
        let next = |(mut walk, run): (Walk, Run)| async move {
            let timer = run.baseline.elapsed_compute().timer();
            let columns = walk.batch(run.rows_at_once)?;
            drop(timer);
            let Some(columns) = columns else {
                run.baseline.done();
                return Ok(None);
            };
            let batch = RecordBatch::try_new(run.frames.schema.clone(), columns)?;
            run.baseline.record_output(batch.num_rows());
            Ok(Some((batch, (walk, run))))
        };
        Ok(stream::try_unfold((walk, self), next))
    }
}

/// The rows with their groups.
struct Gathered {
    rows: Rows,
    keys: Option<Box<dyn GroupValues>>,
    /// For each measure that counts values, the values with the groups that they are in.
    values: Vec<Option<Box<dyn GroupValues>>>,
    groups: Vec<usize>,
}

impl Gathered {
    fn new(frames: &Frames, input: &SchemaRef) -> Result<Gathered> {
        let fields = |columns: &[Arc<dyn PhysicalExpr>]| -> Result<Vec<Field>> {
            let field = |column: &Arc<dyn PhysicalExpr>| Ok(Field::new("", column.data_type(input)?, true));
            columns.iter().map(field).collect()
        };
        let of = |fields: Vec<Field>| new_group_values(Arc::new(Schema::new(fields)), &GroupOrdering::None);
        let keys = fields(&frames.columns[2..2 + frames.keys])?;
        let mut position = 2 + frames.keys;
        let mut values = Vec::new();
        let mut parts = Vec::new();
        for (measure, field) in frames.measures.iter().zip(&frames.schema.fields()[1 + frames.keys..]) {
            parts.push(Parts::none_of(&measure.function, field.data_type()));
            values.push(match &measure.function {
                Function::Sum(_) => {
                    position += 1;
                    None
                }
                Function::CountDistinct(..) => {
                    let mut in_groups = keys.clone();
                    in_groups.extend(fields(&frames.columns[position..=position])?);
                    position += 2;
                    Some(of(in_groups)?)
                }
            });
        }
        let keys = if keys.is_empty() { None } else { Some(of(keys)?) };
        Ok(Gathered { rows: Rows::new(parts), keys, values, groups: Vec::new() })
    }

    fn add(&mut self, frames: &Frames, batch: &RecordBatch) -> Result<()> {
        let columns = frames.columns.iter();
        let columns = columns.map(|column| column.evaluate(batch)?.into_array(batch.num_rows()));
        let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
        let keys = &columns[2..2 + frames.keys];
        match &mut self.keys {
            Some(known) => known.intern(keys, &mut self.groups)?,
            None => self.groups = vec![0; batch.num_rows()],
        }
        let mut further = columns[2 + frames.keys..].iter();
        let mut next = || further.next().cloned().ok_or_else(|| exec_datafusion_err!("a measure without a column"));
        let mut parts = Vec::with_capacity(self.values.len());
        for known in &mut self.values {
            parts.push(match known {
                None => Parts::of(&next()?)?,
                Some(known) => {
                    let (value, met) = (next()?, next()?);
                    let in_groups: Vec<ArrayRef> = keys.iter().chain([&value]).cloned().collect();
                    let mut numbers = Vec::new();
                    known.intern(&in_groups, &mut numbers)?;
                    let met = met.as_primitive::<Int64Type>();
                    let counts = |row: usize| value.is_valid(row) && met.is_valid(row) && met.value(row) > 0;
                    let numbers = numbers.iter().enumerate();
                    Parts::Value(numbers.map(|(row, number)| counts(row).then_some(*number as u32)).collect())
                }
            });
        }
        self.rows.add(&self.groups, &columns[0], &columns[1], parts)
    }

    fn size(&self, frames: &Frames) -> usize {
        let of_values = self.values.iter().flatten().chain(&self.keys).map(|known| known.size()).sum::<usize>();
        self.rows.size(&frames.days) + of_values
    }

    fn walk(mut self, frames: &Frames) -> Result<Walk> {
        let keys = match &mut self.keys {
            Some(keys) => keys.emit(EmitTo::All)?,
            None => Vec::new(),
        };
        let types = frames.schema.fields()[1 + frames.keys..].iter().map(|field| field.data_type().clone());
        Ok(Walk::new(self.rows, keys, frames.measures.clone(), types.collect(), frames.days.clone()))
    }
}
