//! What is computed of each group, as physical expressions over the rows that come.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

use super::values::can_be_kept;

/// One measure.
#[derive(Debug, Clone)]
pub(super) struct Measure {
    pub function: Arc<AggregateFunctionExpr>,
    pub kind: Kind,
    /// Positions among the expressions of [`Inputs`].
    pub arguments: Vec<usize>,
    pub filter: Option<usize>,
}

/// How groups keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// As DataFusion's own accumulators do.
    Aggregate,
    /// As a number: most measures are counts, and this is the fastest way.
    Count,
    Distinct,
    Values,
}

/// The expressions that measures need, each once.
#[derive(Debug, Clone, Default)]
pub(super) struct Inputs {
    expressions: Vec<Arc<dyn PhysicalExpr>>,
}

impl Inputs {
    pub fn measure(
        &mut self,
        function: Arc<AggregateFunctionExpr>,
        filter: Option<Arc<dyn PhysicalExpr>>,
        types: &[DataType],
    ) -> Result<Measure> {
        let kind = match function.fun().name() {
            "count" if function.is_distinct() => Kind::Distinct,
            "count" if types.len() == 1 => Kind::Count,
            "median" | "percentile_cont" | "percentile_disc" if !function.is_distinct() => {
                if !types.first().is_some_and(can_be_kept) {
                    return plan_err!("`{}` of {types:?} is not computed in a pass", function.name());
                }
                Kind::Values
            }
            "sum" | "count" | "min" | "max" if !function.is_distinct() && function.groups_accumulator_supported() => {
                Kind::Aggregate
            }
            _ => return plan_err!("`{}` is not computed in a pass", function.name()),
        };
        let arguments = match kind {
            Kind::Aggregate => function.expressions(),
            Kind::Count | Kind::Distinct | Kind::Values => function.expressions().into_iter().take(1).collect(),
        };
        Ok(Measure {
            kind,
            arguments: arguments.into_iter().map(|argument| self.position(argument)).collect(),
            filter: filter.map(|filter| self.position(filter)),
            function,
        })
    }

    fn position(&mut self, expression: Arc<dyn PhysicalExpr>) -> usize {
        match self.expressions.iter().position(|known| known.eq(&expression)) {
            Some(position) => position,
            None => {
                self.expressions.push(expression);
                self.expressions.len() - 1
            }
        }
    }

    pub fn expressions(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.expressions
    }

    pub fn evaluate(&self, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let evaluated =
            self.expressions.iter().map(|expression| expression.evaluate(rows)?.into_array(rows.num_rows()));
        evaluated.collect()
    }
}

impl Measure {
    pub fn filter<'a>(&self, inputs: &'a [ArrayRef]) -> Option<&'a BooleanArray> {
        self.filter.map(|filter| inputs[filter].as_boolean())
    }

    /// The rows that have a value and that the filter lets through; `None` where all do.
    pub fn counted(&self, inputs: &[ArrayRef]) -> Option<BooleanBuffer> {
        let valid = inputs[self.arguments[0]].logical_nulls().filter(|nulls| nulls.null_count() > 0);
        let filter = self.filter(inputs).map(|filter| match filter.nulls() {
            Some(nulls) => filter.values() & nulls.inner(),
            None => filter.values().clone(),
        });
        match (valid, filter) {
            (Some(valid), Some(filter)) => Some(valid.inner() & &filter),
            (Some(valid), None) => Some(valid.into_inner()),
            (None, filter) => filter,
        }
    }
}
