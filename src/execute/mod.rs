//! Runs plans: a pass over each table, the rows that the other KPIs look at, then the cells of each KPI, a few at a time.
//!
//! It knows nothing of publishing. Dropping the future stops the work and gives its memory back.

mod rows;
mod spool;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::NaiveDate;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{DataFrame, SessionContext};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use tokio::sync::{Semaphore, mpsc};

pub use spool::{Spooled, spool};

use crate::compile::{Cell, Compiler, Extent, Way, result_plan};
use crate::error::{Error, ErrorKind};
use crate::frames;
use crate::model::{Kpi, Model, Origin, below};
use crate::plan::{FusedLeaves, KeptRows, Pass, PassRows, RunPlan, SharedRows, Wanted};
use crate::session;

pub use rows::{published_schema, result_column, result_column_as};
use rows::{sorted, with_schema};

/// What happens while a plan runs.
#[derive(Debug, Clone)]
pub enum Progress<'a> {
    /// A pass over a table begins.
    Pass { table: &'a str, kpis: usize, number: usize, of: usize },
    /// A KPI has its values, or failed.
    Kpi { name: &'a str, number: usize, of: usize },
}

/// Who listens to the progress of a run.
pub type Listener<'a> = &'a (dyn Fn(Progress<'_>) + Send + Sync);

/// The values of one KPI.
#[derive(Debug, Clone)]
pub struct KpiResult {
    pub kpi: Arc<Kpi>,
    pub schema: SchemaRef,
    /// All cells in one batch, sorted by cell, period and member.
    pub rows: RecordBatch,
    pub elapsed: Duration,
}

/// A KPI with its values, or why it has none.
pub type Outcome = (String, Result<KpiResult, Error>);

/// The outcome of each KPI of a run, in the order of the plan.
pub type Outcomes = Vec<Outcome>;

/// As [`execute`], with all outcomes at once.
pub async fn execute_all(
    context: &SessionContext,
    model: &Model,
    plan: &RunPlan,
    until: NaiveDate,
    extents: &BTreeMap<String, Extent>,
) -> Outcomes {
    let (sender, mut results) = mpsc::channel(1);
    let collecting = async {
        let mut outcomes = Vec::new();
        while let Some(outcome) = results.recv().await {
            outcomes.push(outcome);
        }
        outcomes
    };
    futures::join!(execute(context, model, plan, until, extents, &|_| {}, sender), collecting).1
}

/// Computes everything in `plan`, and hands out each outcome as soon as it is there, in the order of the plan. A KPI that
/// fails takes no other with it. Where nobody takes outcomes any more, the rest is not computed.
pub async fn execute(
    context: &SessionContext,
    model: &Model,
    plan: &RunPlan,
    until: NaiveDate,
    extents: &BTreeMap<String, Extent>,
    listener: Listener<'_>,
    results: mpsc::Sender<Outcome>,
) {
    let of_passes = plan.passes.len();
    let at_once = context.state().config().target_partitions().max(1);
    let passes = plan.passes.iter().enumerate().map(|(index, pass)| {
        let begins = Progress::Pass { table: &pass.table, kpis: pass.kpis.len(), number: index + 1, of: of_passes };
        async move {
            listener(begins);
            (index, run_parts(context, model, pass, until).await)
        }
    });
    // A large table keeps all cores busy and needs the memory for itself; small ones go side by side.
    let is_small = plan.passes.iter().all(|pass| is_small(model, &pass.table));
    let side_by_side = if is_small { at_once } else { 1 };
    let passes: Vec<BoxFuture<'_, _>> = passes.map(FutureExt::boxed).collect();
    // One that takes long keeps none from beginning.
    let mut rows: Vec<(usize, Vec<(Pass, PassRows)>)> =
        stream::iter(passes).buffer_unordered(side_by_side).collect().await;
    rows.sort_by_key(|(index, _)| *index);
    let rows: Vec<(Pass, PassRows)> = rows.into_iter().flat_map(|(_, rows)| rows).collect();
    // Where they cannot be kept, each cell reads the table; if that fails too, it says why.
    let shared = plan.rows.iter().map(|shared| keep_rows(context, model, shared, until).boxed());
    let shared: Vec<BoxFuture<'_, _>> = shared.collect();
    let kept: Vec<_> = stream::iter(shared).buffer_unordered(at_once).collect().await;
    // The files live as long as the rows are read.
    let (_spooled, kept): (Vec<Spooled>, Vec<KeptRows>) = kept.into_iter().filter_map(Result::ok).unzip();
    let leaves = FusedLeaves { model, passes: &rows, rows: &kept, days: &plan.days, until, way: Way::Operators };
    let small = session::for_small_rows(context);
    let of = plan.kpis.len();
    let done = AtomicUsize::new(0);
    let (leaves, done) = (&leaves, &done);
    // One more than there are cores, since one of them is having its plans made.
    let of_turns = u32::try_from(at_once + 1).unwrap_or(u32::MAX);
    let turns = &Semaphore::new(of_turns as usize);
    let small = &small;
    // Plans are made here, one after the other, while others run on the threads of the runtime. Boxed, so that the compiler
    // sees that the whole can be sent to another thread, as servers that spawn a run need it.
    let tasks = plan.kpis.iter().map(|Wanted { name, cells, only }| {
        let task = async move {
            let kpi = model.kpis[name].clone();
            let plans = |way| {
                let leaves = &FusedLeaves { way, ..*leaves };
                let compiler = Compiler { model, leaves, extents, days: None, members: &plan.members };
                let plans = cells.iter().map(|cell| {
                    let only = only.as_ref().and_then(|only| only.get(&cell.grain));
                    let plan = result_plan(&compiler, &kpi, cell, only).map_err(|error| not_compiled(&kpi, error))?;
                    Ok((cell.clone(), plan))
                });
                plans.collect::<Result<Vec<(Cell, LogicalPlan)>, Error>>()
            };
            // What a pass has added up is small; only a KPI that reads its table by itself is worth the full planning.
            let is_small = below(model, &BTreeSet::from([name.clone()])).iter().all(|kpi| leaves.is_small(kpi));
            let context = if is_small { small } else { context };
            let turn = turns.acquire().await;
            let mut result = compute(context, &kpi, plans).await;
            drop(turn);
            // Beside others there may have been too little memory, and alone there may be enough.
            if result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Storage) {
                let _all = turns.acquire_many(of_turns).await;
                result = compute(context, &kpi, plans).await;
            }
            let number = done.fetch_add(1, Ordering::Relaxed) + 1;
            listener(Progress::Kpi { name, number, of });
            (name.clone(), result)
        };
        task.boxed()
    });
    let tasks: Vec<BoxFuture<'_, Outcome>> = tasks.collect();
    // Those behind one that takes long go on, and wait for it with their rows: a few of them.
    const WAITING: usize = 8;
    let mut outcomes = stream::iter(tasks).buffered(at_once + WAITING);
    while let Some(outcome) = outcomes.next().await {
        if results.send(outcome).await.is_err() {
            break;
        }
    }
}

/// Whether the files of a table are read in no time.
fn is_small(model: &Model, table: &str) -> bool {
    const SMALL: u64 = 64 << 20;
    match model.tables.get(table).map(|table| &table.origin) {
        Some(Origin::Files { opened, .. }) => opened.files.iter().map(|file| file.bytes).sum::<u64>() < SMALL,
        Some(Origin::Query { tables }) => tables.iter().all(|table| is_small(model, table)),
        None => true,
    }
}

/// A pass, or the parts of it that run.
async fn run_parts(context: &SessionContext, model: &Model, pass: &Pass, until: NaiveDate) -> Vec<(Pass, PassRows)> {
    let mut rows = Vec::new();
    let mut left = vec![pass.clone()];
    while let Some(pass) = left.pop() {
        match run_pass(context, model, &pass, until).await {
            Ok(found) => rows.push((pass, found)),
            // What does not fit into memory at once may fit in two parts.
            Err(error) if error.kind() == ErrorKind::Storage => left.extend(pass.halves(model).into_iter().flatten()),
            // Where a pass fails, each of its KPIs reads the table by itself: so a mistake is told of those that have it,
            // and a KPI fails exactly when it would fail alone.
            Err(_) => {}
        }
    }
    rows
}

/// Collects the rows of a plan.
///
/// # Errors
/// As [`query_error`] sorts them.
pub async fn collect(context: &SessionContext, plan: LogicalPlan) -> Result<(SchemaRef, Vec<RecordBatch>), Error> {
    let frame = DataFrame::new(context.state(), plan);
    let physical = frame.create_physical_plan().await.map_err(query_error)?;
    let schema = physical.schema();
    let batches = datafusion::physical_plan::collect(physical, context.task_ctx()).await.map_err(query_error)?;
    Ok((schema, batches))
}

/// A failed query as an [`Error`]: `Storage` where memory, disk or a file gave out, `Execution` where the data did not fit.
pub fn query_error(error: DataFusionError) -> Error {
    let root = error.find_root();
    match root {
        DataFusionError::ResourcesExhausted(_) => Error::storage("the query needs more memory than it may use")
            .with_hint("give it more with `--memory-limit 8GB`, or make sure that the temporary folder has room")
            .with_source(error),
        DataFusionError::IoError(_) | DataFusionError::ObjectStore(_) => {
            let message = root.strip_backtrace();
            Error::storage("a file could not be read").with_context("reason", message)
        }
        _ => Error::execution(first_line(&root.strip_backtrace())).with_source(error),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// What is wrong with the data is said as such; everything else is a mistake of ours.
fn not_compiled(kpi: &Kpi, error: DataFusionError) -> Error {
    if matches!(error.find_root(), DataFusionError::Execution(_)) {
        return query_error(error);
    }
    Error::internal(format!("KPI `{}` could not be compiled", kpi.name)).with_context("reason", error.strip_backtrace())
}

async fn run_pass(context: &SessionContext, model: &Model, pass: &Pass, until: NaiveDate) -> Result<PassRows, Error> {
    let plan = pass.logical_plan(model, until).map_err(|error| {
        Error::internal(format!("the pass over `{}` could not be compiled", pass.table))
            .with_context("reason", error.strip_backtrace())
    })?;
    let (schema, batches) = collect(context, plan).await?;
    pass.split(&schema, batches).map_err(query_error)
}

/// The rows that several cells look at.
async fn keep_rows(
    context: &SessionContext,
    model: &Model,
    shared: &SharedRows,
    until: NaiveDate,
) -> Result<(Spooled, KeptRows), DataFusionError> {
    let rows = spool(context, &shared.table, shared.logical_plan(model, until)?).await?;
    let aggregate = |name: &String| Some((name.clone(), shared.over(model.kpis.get(name)?.aggregate()?)));
    let aggregates = shared.kpis.iter().filter_map(aggregate).collect();
    let kept = KeptRows { provider: rows.provider.clone(), aggregates, count: rows.count };
    Ok((rows, kept))
}

/// Computes a KPI from its plans. Where operators of our own fail, as they do where memory gives out, joins take their place: so
/// a KPI fails exactly when joins fail.
///
/// # Errors
/// As the plans cannot be made, or as [`query_error`] sorts what fails in them.
pub async fn compute(
    context: &SessionContext,
    kpi: &Arc<Kpi>,
    plans: impl Fn(Way) -> Result<Vec<(Cell, LogicalPlan)>, Error>,
) -> Result<KpiResult, Error> {
    let of_operators = plans(Way::Operators)?;
    let walks = of_operators.iter().any(|(_, plan)| frames::walks(plan));
    match run_in_task(context, kpi, of_operators).await {
        Err(_) if walks => run_in_task(context, kpi, plans(Way::Joins)?).await,
        result => result,
    }
}

/// Computes a KPI in a task of its own, so that KPIs share the cores; dropping it ends it.
async fn run_in_task(
    context: &SessionContext,
    kpi: &Arc<Kpi>,
    plans: Vec<(Cell, LogicalPlan)>,
) -> Result<KpiResult, Error> {
    let (context, kpi) = (context.clone(), kpi.clone());
    let task = SpawnedTask::spawn(async move { run_cells(&context, kpi, plans).await });
    task.join()
        .await
        .unwrap_or_else(|error| Err(Error::internal("the computation of a KPI broke off").with_source(error)))
}

async fn run_cells(
    context: &SessionContext,
    kpi: Arc<Kpi>,
    plans: Vec<(Cell, LogicalPlan)>,
) -> Result<KpiResult, Error> {
    let started = Instant::now();
    let mut parts = Vec::new();
    let mut schema: Option<SchemaRef> = None;
    for (cell, plan) in plans {
        let (cell_schema, batches) = collect(context, plan).await?;
        let schema = schema.get_or_insert_with(|| published_schema(&cell_schema));
        let rows = concat_batches(&cell_schema, &batches).map_err(|error| query_error(error.into()))?;
        let rows = with_schema(&rows, schema)?;
        parts.push(sorted(&rows, &kpi, &cell)?);
    }
    let schema = schema.ok_or_else(|| Error::internal(format!("KPI `{}` has no cells", kpi.name)))?;
    let rows = concat_batches(&schema, &parts).map_err(|error| query_error(error.into()))?;
    Ok(KpiResult { kpi, schema, rows, elapsed: started.elapsed() })
}
