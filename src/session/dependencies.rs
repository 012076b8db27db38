//! Keys of intermediate rows: what DataFusion says that they are, held to what follows from the rows below.
//!
//! DataFusion notes at each step of a plan which columns determine which others. In 55.2 two steps note too much: a GROUP BY
//! over a join takes the key of one side for a key of all groups, and UNNEST keeps the keys of rows that it repeats. Rules
//! and the SQL planner believe it, and give wrong numbers: joins become semi joins, GROUP BY and ORDER BY lose columns,
//! DISTINCT is left out, and a GROUP BY gets columns that nobody wrote. Here such a note is replaced before each of them
//! reads it. Values, columns and their order are not touched, and a plan whose notes are true stays as it is.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{Dependency, FunctionalDependence, FunctionalDependencies, Result};
use datafusion::logical_expr::logical_plan::{Aggregate, Join, Projection, Window};
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Expr, InvariantLevel, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use datafusion::sql::sqlparser::ast::{Ident, TableAlias, TableFactor};

pub(super) type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// The rules, with a check in front of each one that reads keys.
pub(super) fn guarded(rules: Vec<Rule>) -> Vec<Rule> {
    const READERS: [&str; 4] =
        ["replace_distinct_aggregate", "eliminate_join", "eliminate_duplicated_expr", "optimize_projections"];
    let guard = |rule: Rule| match READERS.contains(&rule.name()) {
        true => Arc::new(Guarded(rule)) as Rule,
        false => rule,
    };
    rules.into_iter().map(guard).collect()
}

/// The same plan, in which each step says only what follows from the steps below.
///
/// # Errors
/// Where a subquery was taken for one row on the strength of a key that is none.
pub(super) fn with_true_dependencies(plan: LogicalPlan) -> Result<LogicalPlan> {
    if is_sound(&plan)? {
        return Ok(plan);
    }
    let corrected = corrected(plan)?;
    // Whether a subquery gives one row may have been decided by a key.
    corrected.check_invariants(InvariantLevel::Executable)?;
    Ok(corrected)
}

/// A rule that sees no key that is none.
#[derive(Debug)]
struct Guarded(Rule);

impl OptimizerRule for Guarded {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        // A rule that is handed each step by itself reads keys below these two. Right there they must be looked at: what the
        // rule did to the steps below may have brought others.
        let reads_keys = match self.apply_order() {
            None => true,
            Some(_) => matches!(plan, LogicalPlan::Distinct(_) | LogicalPlan::Sort(_)),
        };
        let plan = if reads_keys { with_true_dependencies(plan)? } else { plan };
        self.0.rewrite(plan, config)
    }
}

/// Corrects what stands in FROM before the query around it is planned: the SQL planner adds columns to GROUP BY, and chooses
/// the rows that a window without a frame reaches, by the keys of what it reads.
#[derive(Debug)]
pub(super) struct TrueRelations;

/// An alias that asks for the plan as DataFusion makes it.
const AS_IT_IS: &str = "__kpi_as_it_is";

impl RelationPlanner for TrueRelations {
    fn plan_relation(
        &self,
        mut relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let (TableFactor::Table { alias, .. } | TableFactor::Derived { alias, .. }) = &mut relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let written = alias.take();
        if written.as_ref().is_some_and(|alias| alias.name.value == AS_IT_IS) {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        }
        // The way to a plan begins at this function again; the alias tells it that it was here.
        let name = Ident::new(AS_IT_IS);
        *alias = Some(TableAlias { explicit: true, name, columns: Vec::new(), at: None });
        let plan = context.plan(relation)?;
        // A query sees no further than the schema of what it reads.
        let is_silent = plan.schema().functional_dependencies().is_empty();
        let plan = if is_silent || is_sound(&plan)? { plan } else { corrected(plan)? };
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, written))))
    }
}

/// Whether no step of a plan, or of a subquery in it, says more than it can know.
fn is_sound(plan: &LogicalPlan) -> Result<bool> {
    let mut is_sound = true;
    plan.apply_with_subqueries(|step| {
        is_sound = says_what_follows(step);
        Ok(if is_sound { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(is_sound)
}

fn corrected(plan: LogicalPlan) -> Result<LogicalPlan> {
    let corrected = plan.transform_up_with_subqueries(|mut step| {
        if says_what_follows(&step) {
            return Ok(Transformed::no(step));
        }
        let true_ones = following(&step);
        let schema = match &mut step {
            LogicalPlan::Projection(projection) => &mut projection.schema,
            LogicalPlan::SubqueryAlias(alias) => &mut alias.schema,
            LogicalPlan::Aggregate(aggregate) => &mut aggregate.schema,
            LogicalPlan::Window(window) => &mut window.schema,
            LogicalPlan::Join(join) => &mut join.schema,
            LogicalPlan::Unnest(unnest) => &mut unnest.schema,
            _ => return Ok(Transformed::no(step)),
        };
        *schema = Arc::new(schema.as_ref().clone().with_functional_dependencies(true_ones)?);
        Ok(Transformed::yes(step))
    })?;
    Ok(corrected.data)
}

/// Whether all that a step says follows from what the steps right below it say.
fn says_what_follows(step: &LogicalPlan) -> bool {
    let said = step.schema().functional_dependencies();
    if said.is_empty() || !can_be_wrong(step) {
        return true;
    }
    let following = following(step);
    *said == following || said.iter().all(|said| following.iter().any(|known| follows(said, known)))
}

/// Other steps say nothing, or what their input says, or what is declared of a table.
fn can_be_wrong(step: &LogicalPlan) -> bool {
    matches!(
        step,
        LogicalPlan::Projection(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Aggregate(_)
            | LogicalPlan::Window(_)
            | LogicalPlan::Join(_)
            | LogicalPlan::Unnest(_)
    )
}

fn follows(said: &FunctionalDependence, known: &FunctionalDependence) -> bool {
    let is_unique = known.mode == Dependency::Single;
    known.source_indices.iter().all(|column| said.source_indices.contains(column))
        && (is_unique || said.mode == Dependency::Multi)
        && (is_unique || said.target_indices.iter().all(|column| known.target_indices.contains(column)))
        && (said.nullable || !known.nullable)
}

/// What a step can say, given what its inputs say.
fn following(step: &LogicalPlan) -> FunctionalDependencies {
    match step {
        LogicalPlan::Projection(projection) => of_projection(projection),
        LogicalPlan::SubqueryAlias(alias) => alias.input.schema().functional_dependencies().clone(),
        LogicalPlan::Aggregate(aggregate) => of_aggregate(aggregate),
        LogicalPlan::Window(window) => of_window(window),
        LogicalPlan::Join(Join { left, right, join_type, .. }) => {
            let (left, right) = (left.schema(), right.schema());
            left.functional_dependencies().join(right.functional_dependencies(), join_type, left.fields().len())
        }
        _ => FunctionalDependencies::empty(),
    }
}

fn of_projection(projection: &Projection) -> FunctionalDependencies {
    let input = projection.input.schema();
    let width = projection.schema.fields().len();
    if width != projection.expr.len() {
        return FunctionalDependencies::empty();
    }
    let columns: Vec<usize> = projection.expr.iter().map(|value| column_of(value, &projection.input)).collect();
    input.functional_dependencies().project_functional_dependencies(&columns, width)
}

/// The column of the rows below that a value is; a number beyond all columns where it is none.
fn column_of(value: &Expr, input: &LogicalPlan) -> usize {
    let column = match value {
        Expr::Alias(alias) => alias.expr.try_as_col(),
        value => value.try_as_col(),
    };
    column.and_then(|column| input.schema().maybe_index_of_column(column)).unwrap_or(usize::MAX)
}

/// What determines all that is grouped by is a key of the groups; so are all the values grouped by together.
fn of_aggregate(aggregate: &Aggregate) -> FunctionalDependencies {
    let has_sets = aggregate.group_expr.iter().any(|value| matches!(value, Expr::GroupingSet(_)));
    if has_sets || aggregate.group_expr.is_empty() {
        return FunctionalDependencies::empty();
    }
    let grouped: Vec<usize> = aggregate.group_expr.iter().map(|value| column_of(value, &aggregate.input)).collect();
    let fields = aggregate.schema.fields();
    let all: Vec<usize> = (0..fields.len()).collect();
    let mut found = Vec::new();
    for below in aggregate.input.schema().functional_dependencies().iter() {
        let place_of = |column: &usize| grouped.iter().position(|grouped| grouped == column);
        let Some(sources) = below.source_indices.iter().map(place_of).collect::<Option<Vec<usize>>>() else { continue };
        let is_determined =
            |column: &usize| below.source_indices.contains(column) || below.target_indices.contains(column);
        let determined: Vec<usize> = (0..grouped.len()).filter(|place| is_determined(&grouped[*place])).collect();
        let is_key = below.mode == Dependency::Single || determined.len() == grouped.len();
        found.push(match is_key {
            true => FunctionalDependence::new(sources, all.clone(), below.nullable).with_mode(Dependency::Single),
            false => FunctionalDependence::new(sources, determined, below.nullable),
        });
    }
    if !found.iter().any(|dependence| dependence.mode == Dependency::Single) {
        let together: Vec<usize> = (0..grouped.len()).collect();
        let is_nullable = together.iter().any(|place| fields[*place].is_nullable());
        found.push(FunctionalDependence::new(together, all, is_nullable).with_mode(Dependency::Single));
    }
    FunctionalDependencies::new(found)
}

/// A window repeats no row. What stands on columns of its own is a row number, which only it can know to be unique.
fn of_window(window: &Window) -> FunctionalDependencies {
    let input = window.input.schema();
    let mut found = input.functional_dependencies().clone();
    found.extend_target_indices(window.schema.fields().len());
    let is_own = |known: &&FunctionalDependence| known.source_indices.iter().all(|at| *at >= input.fields().len());
    let own = window.schema.functional_dependencies().iter().filter(is_own).cloned().collect();
    found.extend(FunctionalDependencies::new(own));
    found
}
