//! Which columns of which tables something reads, down to the files.
//!
//! It tells what a KPI needs where data is absent, and where its numbers come from. It looks at plans and expressions as they
//! will run, so what nothing uses is not in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::common::TableReference;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

use super::kpis::Context;
use super::tables::Tables;
use crate::model::{
    Aggregate, DataTest, Dimension, Goal, JoinPath, Kpi, Measure, Origin, Placement, Query, Reads, Rule, Shape,
    Subject, Target, join_alias,
};
use crate::session::{self, rows_relation, table_of_rows};

/// The rows of a table under its name, so that plans over it tell that they read it.
pub(super) fn marked(rows: LogicalPlanBuilder, table: &str) -> Result<LogicalPlanBuilder> {
    rows.alias(TableReference::bare(rows_relation(table)))?.alias(TableReference::bare(table))
}

/// What a query over tables reads, whose types are decided.
pub(super) fn of_plan(state: &SessionState, tables: &Tables, plan: &LogicalPlan) -> Result<Reads> {
    // What is left after these rules is used; a branch that a setting turns off is not.
    let plan = session::what_is_used().optimize(plan.clone(), state, |_, _| {})?;
    let mut reads = Reads::new();
    plan.apply_with_subqueries(|node| {
        let LogicalPlan::SubqueryAlias(alias) = node else { return Ok(TreeNodeRecursion::Continue) };
        // A table that is not known yet is the one whose query is looked at.
        let name = table_of_rows(alias.alias.table()).filter(|name| tables.ready(name).is_some());
        let Some(name) = name else { return Ok(TreeNodeRecursion::Continue) };
        let columns = alias.schema.fields().iter().map(|field| field.name().clone());
        add(&mut reads, tables, name, columns);
        Ok(TreeNodeRecursion::Jump)
    })?;
    Ok(reads)
}

/// What the value of a KPI reads, and what judges it. Its inputs are among `ready`.
pub(super) fn of_kpi(context: &Context, kpi: &Kpi, ready: &BTreeMap<String, Arc<Kpi>>) -> Reads {
    let mut reads = Reads::new();
    match &kpi.shape {
        Shape::Aggregate(aggregate) => {
            of_aggregate(context.tables, aggregate, &mut reads);
        }
        Shape::Query(query) => {
            merge(&mut reads, of_query(context, query, |_| true));
        }
        Shape::Arithmetic(_) | Shape::Composite(_) => {}
    }
    for name in &kpi.required_dimensions {
        merge(&mut reads, of_dimension(context, kpi, name, ready));
    }
    for input in kpi.inputs() {
        merge(&mut reads, ready.get(input).map(|input| input.reads.clone()).unwrap_or_default());
    }
    if let Some(Target { goal: Goal::Table { table, .. }, .. }) = &kpi.target {
        let rows = Rows { tables: context.tables, table: &table.table, joins: &BTreeSet::new() };
        rows.read(&[&table.time], &mut reads);
        let columns = table.dimensions.iter().cloned().chain(["value".to_owned()]);
        add(&mut reads, context.tables, &table.table, columns);
    }
    reads
}

/// What a dimension of a KPI reads beside its value.
pub(super) fn of_dimension(context: &Context, kpi: &Kpi, name: &str, ready: &BTreeMap<String, Arc<Kpi>>) -> Reads {
    let mut reads = Reads::new();
    let inputs: Vec<&str> = match &kpi.shape {
        Shape::Aggregate(aggregate) => {
            if let Some(dimension) = aggregate.dimensions.get(name) {
                merge(&mut reads, of_dimension_over(context.tables, &aggregate.table, dimension));
            }
            Vec::new()
        }
        Shape::Query(query) => {
            merge(&mut reads, of_query(context, query, |dimensions| dimensions.contains(name)));
            Vec::new()
        }
        Shape::Arithmetic(arithmetic) => {
            arithmetic.inputs.iter().filter(|input| !input.is_total).map(|input| input.kpi.as_str()).collect()
        }
        Shape::Composite(composite) => composite.parts.iter().map(|part| part.kpi.as_str()).collect(),
    };
    for input in inputs.into_iter().filter_map(|input| ready.get(input)) {
        merge(&mut reads, of_dimension(context, input, name, ready));
    }
    reads
}

/// What a query reads for the fewest dimensions that are wanted. All grains read the same.
fn of_query(context: &Context, query: &Query, is_wanted: impl Fn(&BTreeSet<String>) -> bool) -> Reads {
    let wanted = query.plans.iter().filter(|((_, dimensions), _)| is_wanted(dimensions));
    let fewest = wanted.min_by_key(|((_, dimensions), _)| dimensions.len());
    // A plan that the rules refuse is refused as well, and told, when it runs.
    fewest.and_then(|(_, plans)| of_plan(context.state, context.tables, &plans.rows).ok()).unwrap_or_default()
}

/// What a dimension of KPIs over a table reads.
pub(super) fn of_dimension_over(tables: &Tables, table: &str, dimension: &Dimension) -> Reads {
    let mut reads = Reads::new();
    Rows { tables, table, joins: &dimension.joins }.read(&[&dimension.expression], &mut reads);
    reads
}

/// What a test of the data reads.
pub(super) fn of_test(tables: &Tables, table: &str, test: &DataTest) -> Reads {
    let mut reads = Reads::new();
    let rows = Rows { tables, table, joins: &test.joins };
    let time = test.time.iter().map(|(time, _)| time);
    let mut expressions: Vec<&Expr> = time.collect();
    match &test.rule {
        Rule::Rows { fails } => expressions.push(fails),
        Rule::Unique { columns, filter } => expressions.extend(columns.iter().chain(filter)),
        Rule::Relationship { value, table, column, filter } => {
            expressions.extend([value].into_iter().chain(filter));
            add(&mut reads, tables, table, [column.clone()]);
        }
    }
    rows.read(&expressions, &mut reads);
    reads
}

fn of_aggregate(tables: &Tables, aggregate: &Aggregate, reads: &mut Reads) {
    let rows = Rows { tables, table: &aggregate.table, joins: &aggregate.joins };
    let mut expressions: Vec<&Expr> = vec![&aggregate.time];
    expressions.extend(&aggregate.condition);
    expressions.extend(aggregate.measures.iter().flat_map(of_measure));
    match &aggregate.placement {
        Placement::Event | Placement::Window(_) => {}
        Placement::Stock(stock) | Placement::Boundaries(stock) => {
            expressions.extend(stock.to.as_ref().map(|(to, _)| to));
        }
    }
    match &aggregate.subject {
        Subject::Rows => {}
        Subject::Entities(entities) => {
            expressions.extend(entities.keys.iter().map(|(_, key)| key));
            expressions.extend(entities.measures.iter().flat_map(of_measure));
        }
        Subject::Cohorts(cohorts) => {
            expressions.extend(cohorts.entities.keys.iter().map(|(_, key)| key));
            expressions.extend(cohorts.entities.measures.iter().flat_map(of_measure));
        }
        Subject::Funnel(funnel) => expressions.extend(funnel.steps.iter().filter_map(|(_, step)| step.as_ref())),
        Subject::Conversions(conversions) => {
            expressions.extend([&conversions.base_time, &conversions.base_entity]);
            add(reads, tables, &aggregate.table, conversions.base_key.iter().cloned());
            let followers = Rows { tables, table: &conversions.table, joins: &conversions.joins };
            let mut theirs: Vec<&Expr> = vec![&conversions.time, &conversions.entity];
            theirs.extend(&conversions.condition);
            theirs.extend(conversions.measures.iter().flat_map(of_measure));
            followers.read(&theirs, reads);
        }
    }
    rows.read(&expressions, reads);
}

fn of_measure(measure: &Measure) -> impl Iterator<Item = &Expr> {
    measure.arguments.iter().chain(&measure.filter)
}

/// The rows of a table with those of the joins behind them.
struct Rows<'a> {
    tables: &'a Tables,
    table: &'a str,
    joins: &'a BTreeSet<JoinPath>,
}

impl Rows<'_> {
    fn read(&self, expressions: &[&Expr], reads: &mut Reads) {
        add(reads, self.tables, self.table, []);
        for path in self.joins {
            for end in 0..path.len() {
                self.read_join(&path[..end], &path[end], reads);
            }
        }
        for column in expressions.iter().flat_map(|expression| expression.column_refs()) {
            let Some(relation) = column.relation.as_ref().map(TableReference::table) else { continue };
            let path = self.joins.iter().find(|path| join_alias(path) == relation);
            let table = match path {
                Some(path) => self.tables.table_at(self.table, path).map(|table| table.name.as_str()),
                // Names of the query itself, such as those of a funnel's steps, are no tables.
                None => (relation == self.table).then_some(self.table),
            };
            if let Some(table) = table {
                add(reads, self.tables, table, [column.name.clone()]);
            }
        }
    }

    /// The columns by which a row finds its partner.
    fn read_join(&self, before: &[String], name: &str, reads: &mut Reads) {
        let Some(here) = self.tables.table_at(self.table, before) else { return };
        let Some(join) = here.joins.get(name) else { return };
        add(reads, self.tables, &here.name, join.on.iter().map(|(column, _)| column.clone()));
        let valid = join.valid.iter().flat_map(|valid| [valid.from.clone(), valid.to.clone()]);
        add(reads, self.tables, &join.table, join.on.iter().map(|(_, column)| column.clone()).chain(valid));
    }
}

/// Adds columns of a table, or, where that is a query, all that it reads of what is there, and what the columns lack.
fn add(reads: &mut Reads, tables: &Tables, name: &str, columns: impl IntoIterator<Item = String>) {
    let Some(table) = tables.ready(name) else { return };
    let columns: Vec<String> = columns.into_iter().collect();
    for lacking in columns.iter().filter_map(|column| table.lacking_reads.get(column)) {
        merge(reads, lacking.clone());
    }
    let is_query = matches!(table.origin, Origin::Query { .. });
    let is_known = |column: &String| match is_query {
        // What a query gives comes from its tables; what it does not give is its own.
        true => table.lacks.columns.contains_key(column),
        false => table.schema.column_with_name(column).is_some(),
    };
    let known: Vec<String> = columns.into_iter().filter(is_known).collect();
    if !is_query || !known.is_empty() {
        reads.entry(name.to_owned()).or_default().extend(known);
    }
    merge(reads, table.reads.clone());
}

pub(super) fn merge(reads: &mut Reads, further: Reads) {
    for (table, columns) in further {
        reads.entry(table).or_default().extend(columns);
    }
}
