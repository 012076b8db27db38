//! Many cells in one pass: an operator of our own inside DataFusion.
//!
//! A cell is a grain and a set of dimensions. DataFusion's `GROUPING SETS` group every row once for each set, by hashes of its
//! values; exact distinct counts and percentiles go through them badly. [`CubeNode`] groups every row by small numbers, in
//! the few sets from which all cells can be rolled up ([`leaves`]), and rolls them up at the end.
//!
//! ```text
//! rows --codes--> numbers --groups--> groups of leaves --rollup--> groups of cells
//!                                     sums, counts, ends: DataFusion's accumulators
//!                                     distinct counts: lists of numbers    percentiles: the values
//! ```
//!
//! What every value means is DataFusion's word: without this operator the same cells come from its own aggregation, one by
//! one, and tests hold both to the same values. Nothing here knows KPIs; nothing spills.

mod codes;
mod distinct;
mod exec;
mod groups;
mod leaves;
mod measures;
mod rollup;
mod table;
mod values;

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, DFSchemaRef, Result, internal_err};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Expr, ExprSchemable, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use datafusion::physical_expr::aggregate::LoweredAggregateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

pub use exec::CubeExec;
pub use leaves::Cell;

use crate::time::Calendar;
use exec::Cube;
use measures::Inputs;

/// The column that holds the number of a row's cell.
pub const CELL: &str = "#cell";

/// The column that holds the first day of the period.
pub const PERIOD: &str = "#period";

/// The groups of many cells over one input.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CubeNode {
    input: LogicalPlan,
    /// Days; none of them may be NULL.
    day: Expr,
    dimensions: Vec<Expr>,
    /// Aggregate functions.
    measures: Vec<Expr>,
    cells: Vec<Cell>,
    calendar: Calendar,
    /// The cell, the period, then the dimensions and measures.
    schema: DFSchemaRef,
}

impl CubeNode {
    /// A plan with a row for each group of each cell: [`CELL`], [`PERIOD`], the dimensions and the measures by the names
    /// given. A dimension that a cell does not have is NULL in it, as is a measure that is not wanted there.
    ///
    /// # Errors
    /// Where an expression does not fit the input.
    pub fn plan(
        input: LogicalPlan,
        day: Expr,
        dimensions: Vec<(String, Expr)>,
        measures: Vec<(String, Expr)>,
        cells: Vec<Cell>,
        calendar: Calendar,
    ) -> Result<LogicalPlan> {
        let names = dimensions.iter().map(|(name, _)| name).chain(measures.iter().map(|(name, _)| name));
        let names: Vec<String> = names.cloned().collect();
        let dimensions: Vec<Expr> = dimensions.into_iter().map(|(_, dimension)| dimension).collect();
        let measures: Vec<Expr> = measures.into_iter().map(|(_, measure)| measure).collect();
        let schema = schema(&input, names.iter().map(String::as_str), &dimensions, &measures)?;
        let node = CubeNode { input, day, dimensions, measures, cells, calendar, schema };
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }
}

/// The columns that come out, in the types that the expressions have: rules may have changed them.
fn schema<'a>(
    input: &LogicalPlan,
    mut names: impl Iterator<Item = &'a str>,
    dimensions: &[Expr],
    measures: &[Expr],
) -> Result<DFSchemaRef> {
    let mut fields = vec![Field::new(CELL, DataType::UInt32, false), Field::new(PERIOD, DataType::Date32, false)];
    for dimension in dimensions {
        let data_type = match dimension.get_type(input.schema())? {
            DataType::Dictionary(_, values) => *values,
            other => other,
        };
        fields.push(Field::new(names.next().unwrap_or_default(), data_type, true));
    }
    for measure in measures {
        fields.push(Field::new(names.next().unwrap_or_default(), measure.get_type(input.schema())?, true));
    }
    let fields = fields.into_iter().map(|field| (None, Arc::new(field))).collect();
    Ok(Arc::new(DFSchema::new_with_metadata(fields, Default::default())?))
}

/// Nodes are in no order.
impl PartialOrd for CubeNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for CubeNode {
    fn name(&self) -> &str {
        "Cube"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        [&self.day].into_iter().chain(&self.dimensions).chain(&self.measures).cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let list = |expressions: &[Expr]| expressions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let (dimensions, measures) = (list(&self.dimensions), list(&self.measures));
        write!(f, "Cube: cells={}, dimensions=[{dimensions}], measures=[{measures}]", self.cells.len())
    }

    fn with_exprs_and_inputs(&self, mut expressions: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Some(input) = inputs.pop().filter(|_| inputs.is_empty()) else {
            return internal_err!("a cube has one input");
        };
        if expressions.len() != 1 + self.dimensions.len() + self.measures.len() {
            return internal_err!("a cube with {} expressions", expressions.len());
        }
        let measures = expressions.split_off(1 + self.dimensions.len());
        let dimensions = expressions.split_off(1);
        let day = expressions.remove(0);
        let names = self.schema.fields()[2..].iter().map(|field| field.name().as_str());
        let schema = schema(&input, names, &dimensions, &measures)?;
        Ok(CubeNode { input, day, dimensions, measures, schema, ..self.clone() })
    }
}

/// Plans the nodes.
pub struct CubeNodePlanner;

#[async_trait]
impl ExtensionPlanner for CubeNodePlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<CubeNode>() else { return Ok(None) };
        let ([logical], [physical]) = (logical_inputs, physical_inputs) else {
            return internal_err!("a cube has one input");
        };
        let (names, types) = (logical.schema(), physical.schema());
        let expression = |expression: &Expr| planner.create_physical_expr(expression, names, session, context);
        let mut inputs = Inputs::default();
        let mut measures = Vec::new();
        for measure in &node.measures {
            let properties = session.execution_props();
            let lowered = LoweredAggregateBuilder::new(measure, names, &types, properties, context).build()?;
            let arguments = lowered.aggregate.expressions();
            let of = arguments.iter().map(|argument| argument.data_type(&types)).collect::<Result<Vec<_>>>()?;
            measures.push(inputs.measure(lowered.aggregate, lowered.filter, &of)?);
        }
        let cube = Cube {
            day: expression(&node.day)?,
            dimensions: node.dimensions.iter().map(expression).collect::<Result<_>>()?,
            measures,
            inputs,
            cells: node.cells.clone(),
            calendar: node.calendar.clone(),
        };
        let schema = Arc::new(node.schema.as_arrow().clone());
        Ok(Some(Arc::new(CubeExec::new(Arc::new(cube), physical.clone(), schema))))
    }
}
