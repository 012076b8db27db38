//! Statements that can be ended in the middle of an operator.
//!
//! A task of the runtime ends only where it waits, and an operator that makes many rows out of few, such as a join, may go on
//! for minutes without. So every operator of a statement hands over its rows through a gate, which fails once the statement
//! is given up. What an operator does for a single batch is not cut short.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use datafusion::arrow::array::{AsArray, RecordBatch, StringArray};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::{RecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
    SendableRecordBatchStream,
};
use futures::Stream;

/// Whether a statement is given up.
#[derive(Debug, Clone, Default)]
pub(super) struct Interruption(Arc<AtomicBool>);

impl Interruption {
    pub(super) fn interrupt(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_interrupted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

tokio::task_local! {
    /// The statement that is being planned. Without one plans stay as they are.
    static STATEMENT: Interruption;
}

/// Plans and begins a statement, whose operators look at `interruption`.
pub(super) async fn interruptible<T>(interruption: Interruption, work: impl Future<Output = T>) -> T {
    STATEMENT.scope(interruption, work).await
}

/// Puts a gate above each operator. It comes after all other rules, which know nothing of gates.
#[derive(Debug)]
pub(super) struct PutGates;

impl PhysicalOptimizerRule for PutGates {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok(interruption) = STATEMENT.try_with(Interruption::clone) else { return Ok(plan) };
        let gated = plan.transform_up(|plan| {
            let gate = Gate { plan, interruption: interruption.clone() };
            Ok(Transformed::yes(Arc::new(gate) as Arc<dyn ExecutionPlan>))
        });
        gated.map(|gated| gated.data)
    }

    fn name(&self) -> &str {
        "put_gates"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// What EXPLAIN ANALYZE tells of a plan with gates, without them: they stand above each operator, on every other level.
pub(super) fn without_gates(told: &RecordBatch) -> Result<RecordBatch> {
    let texts = told.column(1).as_string::<i32>();
    let plain = texts.iter().map(|text| text.map(without_gate_lines)).collect::<StringArray>();
    Ok(RecordBatch::try_new(told.schema(), vec![told.column(0).clone(), Arc::new(plain)])?)
}

fn without_gate_lines(text: &str) -> String {
    const LEVEL: usize = 2;
    let mut plain = String::new();
    for line in text.lines() {
        let rest = line.trim_start_matches(' ');
        if rest.strip_prefix(GATE).is_some_and(|rest| rest.is_empty() || rest.starts_with(',')) {
            continue;
        }
        let level = (line.len() - rest.len()) / LEVEL;
        plain.push_str(&" ".repeat(level / 2 * LEVEL));
        plain.push_str(rest);
        plain.push('\n');
    }
    plain
}

const GATE: &str = "Gate";

/// Rows of an operator, as long as anybody wants them.
struct Gate {
    plan: Arc<dyn ExecutionPlan>,
    interruption: Interruption,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(GATE)
    }
}

impl DisplayAs for Gate {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(GATE)
    }
}

impl ExecutionPlan for Gate {
    fn name(&self) -> &'static str {
        GATE
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.plan.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.plan]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(plan) if children.is_empty() => Ok(Arc::new(Gate { plan, interruption: self.interruption.clone() })),
            _ => internal_err!("a gate stands above one operator"),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.plan.execute(partition, context)?;
        Ok(Box::pin(Gated { rows, interruption: self.interruption.clone() }))
    }
}

struct Gated {
    rows: SendableRecordBatchStream,
    interruption: Interruption,
}

impl Stream for Gated {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.interruption.is_interrupted() {
            return Poll::Ready(Some(Err(DataFusionError::Execution("interrupted".to_owned()))));
        }
        self.rows.as_mut().poll_next(context)
    }
}

impl RecordBatchStream for Gated {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}
