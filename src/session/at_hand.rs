//! Rows at hand: where the rows of a table were made before, a plan over the table reads those.
//!
//! Who makes them, and of which tables, is not decided here. No value depends on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// The rows of tables, by name; each has the columns of its table.
pub type RowsAtHand = BTreeMap<String, Arc<dyn TableProvider>>;

/// What the rows of a table are called in plans, below the table's own name; no name of a query can be taken for it.
pub fn rows_relation(table: &str) -> String {
    format!("{ROWS_OF}{table}")
}

/// The table whose rows a relation holds.
pub fn table_of_rows(relation: &str) -> Option<&str> {
    relation.strip_prefix(ROWS_OF)
}

const ROWS_OF: &str = "#table ";

/// Puts rows at hand in the place of what makes them. It comes before all other rules.
#[derive(Debug)]
pub(super) struct ReadRowsAtHand(pub RowsAtHand);

/// What rows at hand are called in plans.
const AT_HAND: &str = "rows at hand of ";

/// The table of which a relation holds the rows at hand.
pub fn table_at_hand(relation: &str) -> Option<&str> {
    relation.strip_prefix(AT_HAND)
}

pub(super) const NAME: &str = "read_rows_at_hand";

impl OptimizerRule for ReadRowsAtHand {
    fn name(&self) -> &str {
        NAME
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::SubqueryAlias(alias) = &plan else { return Ok(Transformed::no(plan)) };
        let Some((table, rows)) = table_of_rows(alias.alias.table()).and_then(|name| self.0.get_key_value(name)) else {
            return Ok(Transformed::no(plan));
        };
        // Under another name: rules come more than once, and by then others have put something above these rows.
        let name = TableReference::bare(format!("{AT_HAND}{table}"));
        LogicalPlanBuilder::scan(name, provider_as_source(rows.clone()), None)?.build().map(Transformed::yes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{for_small_rows, open, with_rows_at_hand};
    use datafusion::arrow::array::RecordBatch;
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::datasource::MemTable;
    use datafusion::prelude::{DataFrame, SessionContext, col, lit};

    /// The rows of a table `t` as the tables of a project stand in plans.
    async fn rows_of_t(context: &SessionContext) -> LogicalPlan {
        let sql = "SELECT column1 AS a, column2 AS b FROM (VALUES (1, 'x'), (2, 'y'), (3, 'x'), (4, 'y'))";
        let rows = LogicalPlanBuilder::from(context.sql(sql).await.unwrap().into_unoptimized_plan());
        rows.alias(rows_relation("t")).unwrap().alias("t").unwrap().build().unwrap()
    }

    async fn answer(context: &SessionContext, plan: LogicalPlan) -> Vec<RecordBatch> {
        DataFrame::new(context.state(), plan).collect().await.unwrap()
    }

    /// Once, a filter that had been pushed down to the rows went away when the rules came for the second time.
    #[tokio::test]
    async fn what_stands_above_rows_stays_above_rows_at_hand() {
        let context = open(&Default::default()).unwrap();
        let plan = rows_of_t(&context).await;
        let few = LogicalPlanBuilder::from(plan.clone());
        let few = few.filter(col("b").eq(lit("y"))).unwrap().limit(0, Some(1)).unwrap().build().unwrap();
        // Other rows than those that would be made show which were read.
        let made = answer(&context, plan.clone()).await;
        let twice = made.iter().chain(&made).cloned().collect();
        let table = MemTable::try_new(made[0].schema(), vec![twice]).unwrap();
        let with = with_rows_at_hand(&context, BTreeMap::from([("t".to_owned(), Arc::new(table) as _)]));
        for context in [&with, &for_small_rows(&with)] {
            assert_eq!(answer(context, plan.clone()).await.iter().map(RecordBatch::num_rows).sum::<usize>(), 8);
            let rows = pretty_format_batches(&answer(context, few.clone()).await).unwrap().to_string();
            assert_eq!(rows, "+---+---+\n| a | b |\n+---+---+\n| 2 | y |\n+---+---+");
        }
    }
}
