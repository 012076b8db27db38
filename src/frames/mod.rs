//! Rows that count in many frames: an operator of our own inside DataFusion.
//!
//! A frame is a period, and a row counts in every frame in which it is there: a level counts a contract in all months from its
//! first day to its last, a window counts an order in all months that look back at it. Joined with the frames, rows become as
//! many as there are pairs. Here each row is added where it comes and taken away where it goes, in the order of the frames:
//!
//! ```text
//! rows --keys--> groups --comings and goings, sorted--> one row for each frame and group that has rows
//! ```
//!
//! What has to be taken away again is added exactly: whole numbers as they are, floating-point numbers without rounding until
//! a frame is written. What each value means is DataFusion's word: without this operator the same rows come from joins, and
//! tests hold both to the same values. Nothing here knows KPIs; nothing spills.

mod exact;
mod exec;
mod steps;

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, DFSchemaRef, Result, internal_err};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Expr, ExprSchemable, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

use exec::Frames;
pub use exec::FramesExec;

/// In which frames a row is there that comes on one day and goes on another: in those of which the first number is not below
/// the day on which it comes, and the second one is below the day on which it goes. Days are counted from 1970-01-01; neither
/// list ever goes down.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Span {
    pub comes: Vec<i32>,
    pub goes: Vec<i32>,
}

/// What is computed of the rows that are there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Function {
    /// The sum of a column, NULL where all that is there is NULL.
    Sum(Expr),
    /// How many different values those rows have for which the second column is above 0.
    CountDistinct(Expr, Expr),
}

/// A column of the result.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FrameMeasure {
    pub name: String,
    pub function: Function,
    /// The position of the span in which rows count for it.
    pub span: usize,
}

/// The frames, in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FrameDays {
    /// What a frame is called: the first day of its period.
    pub starts: Vec<i32>,
    pub spans: Vec<Span>,
}

/// The groups of many frames over one input.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FramesNode {
    input: LogicalPlan,
    /// The day on which a row comes, that on which it goes (NULL where it stays), the keys, then what the measures need.
    columns: Vec<Expr>,
    /// What the frame is called, and the keys.
    names: Vec<String>,
    measures: Vec<FrameMeasure>,
    days: Arc<FrameDays>,
    /// The frame, then the keys and the measures.
    schema: DFSchemaRef,
}

impl FramesNode {
    /// A plan with a row for each frame and key in which rows are there: the frame under the name given, the keys and the
    /// measures by theirs. The last measure is the number of rows; where it is 0 there is none.
    ///
    /// # Errors
    /// Where an expression does not fit the input.
    pub fn plan(
        input: LogicalPlan,
        name: &str,
        stay: (Expr, Expr),
        keys: Vec<(String, Expr)>,
        measures: Vec<FrameMeasure>,
        days: FrameDays,
    ) -> Result<LogicalPlan> {
        let mut columns = vec![stay.0, stay.1];
        columns.extend(keys.iter().map(|(_, key)| key.clone()));
        for measure in &measures {
            match &measure.function {
                Function::Sum(part) => columns.push(part.clone()),
                Function::CountDistinct(value, part) => columns.extend([value.clone(), part.clone()]),
            }
        }
        let names = [name.to_owned()].into_iter().chain(keys.into_iter().map(|(name, _)| name)).collect();
        let node = FramesNode::new(input, columns, names, measures, Arc::new(days))?;
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }

    /// The node over these columns, whose types say what comes out: rules may have changed them.
    fn new(
        input: LogicalPlan,
        columns: Vec<Expr>,
        names: Vec<String>,
        measures: Vec<FrameMeasure>,
        days: Arc<FrameDays>,
    ) -> Result<FramesNode> {
        let mut types = columns[2..].iter().map(|column| column.get_type(input.schema()));
        let mut next = || types.next().unwrap_or_else(|| internal_err!("frames lack a column"));
        let mut fields = vec![Field::new(&names[0], DataType::Date32, false)];
        for name in &names[1..] {
            fields.push(Field::new(name, next()?, true));
        }
        for measure in &measures {
            let data_type = match &measure.function {
                Function::Sum(_) => next()?,
                Function::CountDistinct(..) => {
                    next()?;
                    next()?;
                    DataType::Int64
                }
            };
            fields.push(Field::new(&measure.name, data_type, true));
        }
        let fields = fields.into_iter().map(|field| (None, Arc::new(field))).collect();
        let schema = Arc::new(DFSchema::new_with_metadata(fields, Default::default())?);
        Ok(FramesNode { input, columns, names, measures, days, schema })
    }
}

/// Whether a plan holds frames.
pub fn walks(plan: &LogicalPlan) -> bool {
    let is_walk = |node: &LogicalPlan| match node {
        LogicalPlan::Extension(extension) => Ok(extension.node.as_any().is::<FramesNode>()),
        _ => Ok(false),
    };
    plan.exists(is_walk).unwrap_or(false)
}

/// Whether sums of this type can be taken away from again.
pub fn can_be_taken_away(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int64 | DataType::UInt64 | DataType::Float64 | DataType::Decimal128(..))
}

/// Nodes are in no order.
impl PartialOrd for FramesNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for FramesNode {
    fn name(&self) -> &str {
        "Frames"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.columns.clone()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let measures: Vec<&str> = self.measures.iter().map(|measure| measure.name.as_str()).collect();
        write!(f, "Frames: frames={}, measures=[{}]", self.days.starts.len(), measures.join(", "))
    }

    fn with_exprs_and_inputs(&self, columns: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Some(input) = inputs.pop().filter(|_| inputs.is_empty()) else {
            return internal_err!("frames have one input");
        };
        if columns.len() != self.columns.len() {
            return internal_err!("frames over {} expressions", columns.len());
        }
        FramesNode::new(input, columns, self.names.clone(), self.measures.clone(), self.days.clone())
    }
}

/// Plans the nodes.
pub struct FramesNodePlanner;

#[async_trait]
impl ExtensionPlanner for FramesNodePlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<FramesNode>() else { return Ok(None) };
        let ([logical], [physical]) = (logical_inputs, physical_inputs) else {
            return internal_err!("frames have one input");
        };
        let expression = |column: &Expr| planner.create_physical_expr(column, logical.schema(), session, context);
        let frames = Frames {
            columns: node.columns.iter().map(expression).collect::<Result<_>>()?,
            keys: node.names.len() - 1,
            measures: node.measures.clone(),
            days: node.days.clone(),
            schema: Arc::new(node.schema.as_arrow().clone()),
        };
        Ok(Some(Arc::new(FramesExec::new(Arc::new(frames), physical.clone()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::Random;
    use crate::session::{SessionOptions, open};
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::logical_expr::LogicalPlanBuilder;
    use datafusion::prelude::{DataFrame, SessionContext, col};
    use std::fmt::Write as _;

    const FRAMES: i32 = 12;

    /// Rows as SQL: a key, the days on which a row comes and goes, a number, a decimal, a double, and a value with how often it
    /// is met.
    fn rows(random: &mut Random) -> String {
        let mut rows = String::new();
        for _ in 0..1 + random.below(60) {
            let mut word = |words: &[&str]| words[random.below(words.len() as u64) as usize].to_owned();
            let key = word(&["'a'", "'b'", "NULL"]);
            let value = word(&["'x'", "'y'", "'z'", "NULL"]);
            let whole = word(&["1", "7", "-3", "NULL"]);
            let double = word(&["0.1", "1e6", "-2.5", "NULL", "3.3"]);
            let comes = random.below(16) as i32 - 2;
            let goes = match random.below(4) {
                0 => "NULL".to_owned(),
                _ => (comes + random.below(7) as i32).to_string(),
            };
            let met = random.below(3);
            let comma = if rows.is_empty() { "" } else { ", " };
            let _ = write!(rows, "{comma}({key}, {comes}, {goes}, {whole}, {double}, {value}, {met})");
        }
        format!(
            "SELECT k, CAST(comes AS INT) AS comes, CAST(goes AS INT) AS goes, CAST(n AS BIGINT) AS n, \
             CAST(n AS DECIMAL(20, 2)) AS d, CAST(f AS DOUBLE) AS f, v, CAST(met AS BIGINT) AS met, CAST(1 AS BIGINT) AS one \
             FROM (VALUES {rows}) AS r (k, comes, goes, n, f, v, met)"
        )
    }

    async fn text(frame: DataFrame) -> String {
        pretty_format_batches(&frame.collect().await.unwrap()).unwrap().to_string()
    }

    async fn walked(context: &SessionContext, rows: &str) -> String {
        let days = "CAST(comes AS DATE) AS comes, CAST(goes AS DATE) AS goes";
        let sql = format!("SELECT k, {days}, n, d, f, v, met, one FROM ({rows}) AS r");
        let input = context.sql(&sql).await.unwrap().into_unoptimized_plan();
        let starts: Vec<i32> = (0..FRAMES).collect();
        let before: Vec<i32> = starts.iter().map(|start| start - 1).collect();
        let spans = vec![
            Span { comes: starts.clone(), goes: before.clone() },
            Span { comes: before.clone(), goes: before },
            Span { comes: starts.clone(), goes: starts.clone() },
        ];
        let mut measures = Vec::new();
        for (span, at) in [(1, "start"), (2, "end")] {
            let mut add =
                |name: &str, function| measures.push(FrameMeasure { name: format!("{name} {at}"), function, span });
            ["n", "d", "f"].iter().for_each(|name| add(name, Function::Sum(col(*name))));
            add("v", Function::CountDistinct(col("v"), col("met")));
        }
        measures.push(FrameMeasure { name: "rows".into(), function: Function::Sum(col("one")), span: 0 });
        let input = LogicalPlanBuilder::from(input).filter(col("goes").is_null().or(col("goes").gt(col("comes"))));
        let (stay, keys) = ((col("comes"), col("goes")), vec![("k".to_owned(), col("k"))]);
        let plan =
            FramesNode::plan(input.unwrap().build().unwrap(), "p", stay, keys, measures, FrameDays { starts, spans });
        let frame = DataFrame::new(context.state(), plan.unwrap());
        context.deregister_table("walked").unwrap();
        context.register_table("walked", frame.into_view()).unwrap();
        text(context.sql(&format!("SELECT CAST(p AS INT) AS p, k, {COLUMNS} FROM walked ORDER BY p, k")).await.unwrap())
            .await
    }

    const COLUMNS: &str = "\"n start\", CAST(\"d start\" AS DOUBLE) AS ds, round(\"f start\", 3) AS fs, \"v start\", \
                           \"n end\", CAST(\"d end\" AS DOUBLE) AS de, round(\"f end\", 3) AS fe, \"v end\", rows";

    async fn joined(context: &SessionContext, rows: &str) -> String {
        let mut measures = Vec::new();
        for (is_there, at) in [
            ("comes < p AND (goes IS NULL OR goes >= p)", "start"),
            ("comes <= p AND (goes IS NULL OR goes > p)", "end"),
        ] {
            measures.push(format!("sum(n) FILTER (WHERE {is_there}) AS \"n {at}\""));
            measures.push(format!("sum(d) FILTER (WHERE {is_there}) AS \"d {at}\""));
            measures.push(format!("sum(f) FILTER (WHERE {is_there}) AS \"f {at}\""));
            measures.push(format!("count(DISTINCT v) FILTER (WHERE met > 0 AND {is_there}) AS \"v {at}\""));
        }
        let sql = format!(
            "WITH r AS ({rows}), joined AS (SELECT p, k, {}, count(*) AS rows FROM r \
             JOIN (SELECT CAST(p AS INT) AS p FROM generate_series(0, {}) AS s (p)) AS frames \
             ON comes <= p AND (goes IS NULL OR goes >= p) AND (goes IS NULL OR goes > comes) GROUP BY p, k) \
             SELECT p, k, {COLUMNS} FROM joined ORDER BY p, k",
            measures.join(", "),
            FRAMES - 1
        );
        text(context.sql(&sql).await.unwrap()).await
    }

    /// Once, a column whose type rules had changed was read as what it had been.
    #[tokio::test]
    async fn columns_are_what_they_become() {
        let context = open(&SessionOptions::default()).unwrap();
        let sql = "SELECT CAST(0 AS DATE) AS comes, CAST(NULL AS DATE) AS goes, CAST(1 AS BIGINT) AS one, \
                   CASE WHEN a > 1 THEN CAST(a AS DECIMAL(10, 2)) ELSE CAST(a AS DECIMAL(20, 4)) END AS d, \
                   CASE WHEN a > 1 THEN 0 ELSE CAST(a AS DOUBLE) END AS f FROM (VALUES (1.5), (0.25), (-0.25)) AS r (a)";
        let input = context.sql(sql).await.unwrap().into_unoptimized_plan();
        let sum = |name: &str, column: &str| FrameMeasure {
            name: name.into(),
            function: Function::Sum(col(column)),
            span: 0,
        };
        let measures = vec![sum("d", "d"), sum("f", "f"), sum("rows", "one")];
        let days = FrameDays { starts: vec![0], spans: vec![Span { comes: vec![0], goes: vec![0] }] };
        let plan = FramesNode::plan(input, "p", (col("comes"), col("goes")), Vec::new(), measures, days).unwrap();
        let plan = LogicalPlanBuilder::from(plan).project([
            datafusion::logical_expr::cast(col("d"), DataType::Utf8),
            col("f").lt(datafusion::logical_expr::lit(0.0)).alias("below"),
            col("f"),
            col("rows"),
        ]);
        let rows = text(DataFrame::new(context.state(), plan.unwrap().build().unwrap())).await;
        // A sum of 0 is not -0.0, which is less than 0.0 to DataFusion.
        assert!(rows.contains("| 1.5000 | false | 0.0 | 3    |"), "{rows}");
    }

    #[tokio::test]
    async fn a_walk_gives_what_joins_give() {
        let context = open(&SessionOptions::default()).unwrap();
        for seed in 0..60 {
            let rows = rows(&mut Random::new(seed));
            assert_eq!(walked(&context, &rows).await, joined(&context, &rows).await, "seed {seed}\n{rows}");
        }
    }
}
