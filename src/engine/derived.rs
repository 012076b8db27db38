//! Derived tables are made once: a run keeps their rows as long as it needs them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;

use crate::execute::{Spooled, spool};
use crate::model::{Model, Origin, Table, below};
use crate::session::{self, RowsAtHand, table_of_rows};
use crate::survey::tables_read;

/// A session in which rows of derived tables are at hand, as long as this lives.
pub(super) struct WithDerived {
    pub context: SessionContext,
    _rows: Vec<Spooled>,
}

/// The derived tables behind these KPIs that are worth making once, with what makes their rows; those that others are made of
/// come first.
pub(super) fn derived_tables(model: &Model, kpis: &BTreeSet<String>) -> Vec<(String, LogicalPlan)> {
    // A KPI that reads a table looks at how far it reaches, and then at its rows.
    const LOOKS_OF_A_KPI: usize = 2;
    let mut looks: BTreeMap<String, usize> = BTreeMap::new();
    let mut order = Vec::new();
    for kpi in below(model, kpis) {
        for table in tables_read(model, kpi) {
            *looks.entry(table.clone()).or_default() += LOOKS_OF_A_KPI;
            add_behind(model, &table, &mut order, &mut looks);
        }
    }
    let is_worth_it = |name: &String| looks.get(name).is_some_and(|looks| *looks > 1) && can_be_made(model, name);
    let with_rows = |name: String| rows_of(model, &name).map(|plan| (name, plan));
    order.into_iter().filter(is_worth_it).filter_map(with_rows).collect()
}

/// Notes a derived table behind all that it is made of, each once.
fn add_behind(model: &Model, name: &str, order: &mut Vec<String>, looks: &mut BTreeMap<String, usize>) {
    let Some(Origin::Query { tables }) = model.tables.get(name).map(|table| &table.origin) else { return };
    if order.iter().any(|known| known == name) {
        return;
    }
    for table in tables {
        *looks.entry(table.clone()).or_default() += 1;
        add_behind(model, table, order, looks);
    }
    order.push(name.to_owned());
}

/// A table of which some column cannot be read has no rows of its own; only some plans over it can run.
fn can_be_made(model: &Model, name: &str) -> bool {
    let is_whole = |table: &Arc<Table>| table.lacks.columns.is_empty() && table.lacking_reads.is_empty();
    model.tables.get(name).is_some_and(is_whole)
}

/// Makes the derived tables behind these KPIs. One that fails is left out: then everybody who looks at it makes it again, and
/// says what is wrong.
pub(super) async fn with_derived_tables(
    context: &SessionContext,
    model: &Model,
    kpis: &BTreeSet<String>,
) -> WithDerived {
    let mut with = WithDerived { context: context.clone(), _rows: Vec::new() };
    let mut rows = RowsAtHand::new();
    for (name, plan) in derived_tables(model, kpis) {
        let Ok(spooled) = spool(&with.context, &name, plan).await else { continue };
        rows.insert(name, spooled.provider.clone());
        with._rows.push(spooled);
        with.context = session::with_rows_at_hand(context, rows.clone());
    }
    with
}

/// What makes the rows of a table.
fn rows_of(model: &Model, name: &str) -> Option<LogicalPlan> {
    let mut found = None;
    let visited = model.tables.get(name)?.plan.apply(|node| {
        if let LogicalPlan::SubqueryAlias(alias) = node
            && table_of_rows(alias.alias.table()) == Some(name)
        {
            found = Some(alias.input.as_ref().clone());
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    visited.ok().and(found)
}
