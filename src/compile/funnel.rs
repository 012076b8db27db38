//! Funnels: every row once for each step that it could take, with whether it took it.
//!
//! A row that has come to a later step has passed the earlier ones, whether or not anybody noted it.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, lit, when};

use super::placement::Counted;
use super::{of, rows_of};
use crate::model::{Funnel, Measure, REACHED, STEP, STEPS};

const POSITION: &str = "position";

/// The rows beside the steps that they could take: the first one, and each behind one that they took.
pub(super) fn by_step(counted: Counted, funnel: &Funnel) -> Result<Counted> {
    let steps = funnel.steps.iter().enumerate();
    let rows = steps.map(|(index, (name, _))| vec![lit(index as i64).alias(POSITION), lit(name.as_str()).alias(STEP)]);
    let steps = rows_of(rows.collect())?.alias(STEPS)?;
    let took = |index: usize| -> Expr {
        let later = funnel.steps[index..].iter().map(|(_, condition)| match condition {
            Some(condition) => condition.clone().is_true(),
            None => lit(true),
        });
        later.reduce(Expr::or).unwrap_or_else(|| lit(true))
    };
    let by_position = |of_step: &dyn Fn(usize) -> Expr| -> Result<Expr> {
        let mut steps = when(of(STEPS, POSITION).eq(lit(0_i64)), of_step(0));
        for index in 1..funnel.steps.len() {
            steps = steps.when(of(STEPS, POSITION).eq(lit(index as i64)), of_step(index));
        }
        steps.end()
    };
    let could_take = by_position(&|index| if index == 0 { lit(true) } else { took(index - 1) })?;
    let reached = by_position(&took)?;
    let written = |expression: Expr| -> Result<Expr> {
        let written = expression.transform(|node| match &node {
            Expr::Column(name) if is_reached(name) => Ok(Transformed::yes(reached.clone())),
            _ => Ok(Transformed::no(node)),
        })?;
        Ok(written.data)
    };
    let measures = counted.measures.into_iter().map(|measure| {
        let arguments = measure.arguments.iter().cloned().map(written).collect::<Result<_>>()?;
        let filter = measure.filter.clone().map(written).transpose()?;
        Ok(Measure { arguments, filter, ..measure })
    });
    let measures = measures.collect::<Result<Vec<_>>>()?;
    let plan = counted.plan.cross_join(steps.build()?)?.filter(could_take)?;
    Ok(Counted { plan, measures, ..counted })
}

/// What stands in a value for whether the row took the step.
fn is_reached(name: &Column) -> bool {
    name.name == REACHED && name.relation.as_ref().is_some_and(|relation| relation.table() == STEPS)
}
