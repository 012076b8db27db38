//! The DataFusion session that everything runs in: settings, memory, spilling and our functions, chosen in one place.
//!
//! It knows no tables; `catalog` opens those. It reads no configuration files; of the environment, the stores read what they
//! need once somebody asks for one.

mod at_hand;
mod dependencies;
mod spilling;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{MemoryCatalogProviderList, Session};
use datafusion::common::TableReference;
use datafusion::datasource::MemTable;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, MemoryLimit, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::eliminate_filter::EliminateFilter;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::propagate_empty_relation::PropagateEmptyRelation;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use datafusion::prelude::{SessionConfig, SessionContext};

use self::at_hand::ReadRowsAtHand;
pub use self::at_hand::{RowsAtHand, rows_relation, table_at_hand, table_of_rows};
use self::dependencies::{TrueRelations, guarded, with_true_dependencies};
pub use self::spilling::clear_spilled;
use crate::cube::CubeNodePlanner;
use crate::error::{Error, ErrorKind, Result};
use crate::frames::FramesNodePlanner;
use crate::functions;
use crate::location::EnvironmentStores;
use crate::machine;

/// What a user may choose about how queries run. None of it changes a value.
#[derive(Debug, Clone, Default)]
pub struct SessionOptions {
    /// Bytes that queries may hold at once; beyond it they spill to disk. Default: two thirds of what the machine has.
    pub memory_limit: Option<usize>,
    /// Threads. Default: one per core.
    pub threads: Option<usize>,
}

/// A session with the memory limit on, spilling to the system's temporary folder.
///
/// # Errors
/// `Storage` where the temporary folder cannot be used.
pub fn open(options: &SessionOptions) -> Result<SessionContext> {
    let pool = TrackConsumersPool::new(
        FairSpillPool::new(options.memory_limit.unwrap_or_else(default_memory_limit)),
        std::num::NonZeroUsize::new(3).expect("three is not zero"),
    );
    let spilled_to = match spilling::folder() {
        Some(folder) => DiskManagerMode::Directories(vec![folder]),
        None => DiskManagerMode::OsTmpDirectory,
    };
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(spilled_to))
        .with_object_store_registry(Arc::new(EnvironmentStores::default()))
        // A session that lives long must see files that others write, at once.
        .with_object_list_cache_limit(0)
        .build_arc()
        .map_err(|error| {
            Error::new(ErrorKind::Storage, "the temporary folder for spilling cannot be used").with_source(error)
        })?;

    let mut config = SessionConfig::new().with_information_schema(true);
    if let Some(threads) = options.threads {
        config = config.with_target_partitions(threads.max(1));
    }
    let settings = config.options_mut();
    // Without it a mistake in SQL has no place.
    settings.sql_parser.collect_spans = true;
    // A folder is a table with everything below it.
    settings.execution.listing_table_ignore_subdirectory = false;
    // A table that is joined to is hashed once and looked into by all cores, up to this size: else both sides are first sent
    // to the core that has their part of the keys, which for 18 million rows beside 4.5 million costs a third of the time.
    settings.optimizer.hash_join_single_partition_threshold = 512 << 20;
    settings.optimizer.hash_join_single_partition_threshold_rows = 10_000_000;
    // Whole numbers as keys need no hash where there is one among twenty numbers: a place for each costs no more memory.
    settings.execution.perfect_hash_join_min_key_density = 0.05;

    let state = SessionStateBuilder::new()
        .with_default_features()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_optimizer_rules(guarded(Optimizer::new().rules))
        .with_relation_planners(vec![Arc::new(TrueRelations)])
        .with_physical_optimizer_rules(physical_rules())
        .with_query_planner(Arc::new(WithOwnOperators))
        .build();
    let context = SessionContext::new_with_state(state);
    functions::register(&context);
    Ok(context)
}

/// Plans that may hold operators of our own.
#[derive(Debug)]
struct WithOwnOperators;

#[async_trait]
impl QueryPlanner for WithOwnOperators {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        let own: Vec<Arc<dyn ExtensionPlanner + Send + Sync>> =
            vec![Arc::new(CubeNodePlanner), Arc::new(FramesNodePlanner)];
        DefaultPhysicalPlanner::with_extension_planners(own).create_physical_plan(plan, session).await
    }
}

/// A session for plans over rows that are added up already: the same runtime and functions, one partition, and only the
/// rules that such plans need. Planning hundreds of them otherwise costs more than running them.
pub fn for_small_rows(context: &SessionContext) -> SessionContext {
    const RULES: [&str; 7] = [
        at_hand::NAME,
        "simplify_expressions",
        "replace_distinct_aggregate",
        "extract_equijoin_predicate",
        "eliminate_outer_join",
        "push_down_filter",
        "optimize_projections",
    ];
    const PHYSICAL_RULES: [&str; 6] = [
        "OutputRequirements",
        "join_selection",
        "EnsureRequirements",
        "CombinePartialFinalAggregate",
        "EnsureCooperative",
        "SanityCheckPlan",
    ];
    let state = context.state();
    // A state that made a default catalog of its own would put it in the place of the one that holds the tables.
    let config = state.config().clone().with_create_default_catalog_and_schema(false);
    let mut config = config.with_target_partitions(1);
    config.options_mut().optimizer.max_passes = 1;
    let rules = state.optimizers().iter().filter(|rule| RULES.contains(&rule.name())).cloned().collect();
    let physical = state.physical_optimizers().iter().filter(|rule| PHYSICAL_RULES.contains(&rule.name()));
    let physical = physical.cloned().collect();
    let state = SessionStateBuilder::new_from_existing(state)
        .with_config(config)
        .with_optimizer_rules(rules)
        .with_physical_optimizer_rules(physical)
        .build();
    SessionContext::new_with_state(state)
}

/// A session in which plans over these tables read the rows that were made of them already.
pub fn with_rows_at_hand(context: &SessionContext, rows: RowsAtHand) -> SessionContext {
    let state = context.state();
    let config = state.config().clone().with_create_default_catalog_and_schema(false);
    let first: Arc<dyn OptimizerRule + Send + Sync> = Arc::new(ReadRowsAtHand(rows));
    let others = state.optimizers().iter().filter(|rule| rule.name() != at_hand::NAME).cloned();
    let rules = [first].into_iter().chain(others).collect();
    let state = SessionStateBuilder::new_from_existing(state).with_config(config).with_optimizer_rules(rules).build();
    SessionContext::new_with_state(state)
}

/// A session for physical plans of which parts run by themselves: in them nothing may be learned from what another part has
/// read.
pub fn for_parts_of_a_plan(context: &SessionContext) -> SessionContext {
    let state = context.state();
    let mut config = state.config().clone().with_create_default_catalog_and_schema(false);
    let settings = &mut config.options_mut().optimizer;
    settings.enable_dynamic_filter_pushdown = false;
    settings.enable_aggregate_dynamic_filter_pushdown = false;
    let state = SessionStateBuilder::new_from_existing(state).with_config(config).build();
    SessionContext::new_with_state(state)
}

/// A session that knows the same tables by name and schema only, for plans that are shown and never run.
///
/// # Errors
/// As DataFusion refuses a name.
pub fn without_rows<'a>(
    context: &SessionContext,
    tables: impl Iterator<Item = (&'a str, SchemaRef)>,
) -> datafusion::common::Result<SessionContext> {
    let empty = SessionContext::new_with_config(context.state().config().clone());
    empty.register_relation_planner(Arc::new(TrueRelations))?;
    for function in context.state().scalar_functions().values() {
        empty.register_udf(function.as_ref().clone());
    }
    for function in context.state().aggregate_functions().values() {
        empty.register_udaf(function.as_ref().clone());
    }
    for (name, schema) in tables {
        empty.register_table(TableReference::bare(name), Arc::new(MemTable::try_new(schema, vec![vec![]])?))?;
    }
    Ok(empty)
}

/// A session like another one, for few rows, in which no table is registered yet.
pub fn without_tables(context: &SessionContext) -> SessionContext {
    let state = context.state();
    let config = state.config().clone().with_create_default_catalog_and_schema(true).with_target_partitions(1);
    let catalogs = Arc::new(MemoryCatalogProviderList::new());
    let state = SessionStateBuilder::new_from_existing(state).with_catalog_list(catalogs).with_config(config).build();
    SessionContext::new_with_state(state)
}

/// A plan of a query in which every type is decided, so that what is put on top of it takes no type for another: as
/// DataFusion first plans a UNION, its columns have the types of the first of its queries.
///
/// # Errors
/// What is wrong with the query.
pub fn with_types(state: &SessionState, plan: LogicalPlan) -> datafusion::common::Result<LogicalPlan> {
    let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
    with_true_dependencies(plan)
}

/// What takes the columns that nothing uses out of a plan, and branches that can have no rows. It does nothing else to it.
pub fn what_is_used() -> Optimizer {
    Optimizer::with_rules(guarded(vec![
        Arc::new(SimplifyExpressions::new()),
        Arc::new(EliminateFilter::new()),
        Arc::new(PropagateEmptyRelation::new()),
        Arc::new(OptimizeProjections::new()),
    ]))
}

/// DataFusion's own rules without `aggregate_statistics`: in 55.2 it answers `SUM` of a literal that was projected below
/// a join from the statistics of the wrong side (4 instead of 2). A test keeps the story and says when it can go.
fn physical_rules() -> Vec<Arc<dyn datafusion::physical_optimizer::PhysicalOptimizerRule + Send + Sync>> {
    PhysicalOptimizer::new().rules.into_iter().filter(|rule| rule.name() != "aggregate_statistics").collect()
}

fn default_memory_limit() -> usize {
    const FALLBACK: usize = 2 << 30;
    machine::memory().map_or(FALLBACK, |bytes| bytes / 3 * 2)
}

/// What queries of a session may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory; beyond them queries spill to disk.
    pub memory: Option<usize>,
    pub threads: usize,
    /// Where they spill to.
    pub temporary: PathBuf,
}

pub fn limits(context: &SessionContext) -> Limits {
    let memory = match context.runtime_env().memory_pool.memory_limit() {
        MemoryLimit::Finite(bytes) => Some(bytes),
        MemoryLimit::Infinite | MemoryLimit::Unknown => None,
    };
    let threads = context.state().config().target_partitions();
    Limits { memory, threads, temporary: std::env::temp_dir() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::AsArray;
    use datafusion::arrow::datatypes::Int64Type;
    use datafusion::arrow::util::pretty::pretty_format_batches;

    /// Once, the session for small rows emptied the catalog that it shares: after a run all tables were gone.
    #[tokio::test]
    async fn a_session_for_small_rows_leaves_the_tables_in_place() {
        let context = open(&SessionOptions::default()).unwrap();
        context.sql("CREATE TABLE t AS VALUES (1)").await.unwrap().collect().await.unwrap();
        let small = for_small_rows(&context);
        assert!(context.table_exist("t").unwrap() && small.table_exist("t").unwrap());
    }

    async fn sum_over_join(context: &SessionContext) -> i64 {
        let sql = "WITH f(k) AS (VALUES (1), (2), (3)), d(k, n) AS (VALUES (1, 'x'), (2, 'y')) \
                   SELECT SUM(b) FROM (SELECT 1 AS b, k FROM f) s JOIN d ON s.k = d.k";
        let rows = context.sql(sql).await.unwrap().collect().await.unwrap();
        rows[0].column(0).as_primitive::<Int64Type>().value(0)
    }

    #[tokio::test]
    async fn a_sum_of_a_literal_over_a_join_is_right() {
        let context = open(&SessionOptions::default()).unwrap();
        assert_eq!(sum_over_join(&context).await, 2);
    }

    /// When this fails, DataFusion has mended the rule, and `physical_rules` can go.
    #[tokio::test]
    async fn the_rule_left_out_is_still_wrong() {
        assert_ne!(sum_over_join(&SessionContext::new()).await, 2);
    }

    /// Queries over rows that seem to have a key and have none, with their rows worked out by hand. Everywhere `days` are
    /// 1 and 2, each of them once, and `pairs` are 1x, 1y, 2x and 2y.
    const WITHOUT_A_KEY: [(&str, &str, &str); 12] = [
        (PAIRS, "SELECT d.k, count(*) FROM day d JOIN pairs ON pairs.k = d.k GROUP BY d.k ORDER BY d.k", "1 2, 2 2"),
        (PAIRS, "SELECT count(*) FROM day d LEFT JOIN pairs ON pairs.k = d.k", "4"),
        (PAIRS, "SELECT k, count(*) FROM (SELECT DISTINCT k, g FROM pairs) GROUP BY k ORDER BY k", "1 2, 2 2"),
        (PAIRS, "SELECT DISTINCT k FROM pairs ORDER BY k", "1, 2"),
        (PAIRS, "SELECT * FROM pairs ORDER BY k, g DESC", "1 y, 1 x, 2 y, 2 x"),
        (
            "days AS (SELECT k FROM day UNION SELECT k FROM day), \
             pairs AS (SELECT k, g FROM days CROSS JOIN letter GROUP BY k, g)",
            "SELECT d.k, count(*) FROM day d JOIN pairs ON pairs.k = d.k GROUP BY d.k ORDER BY d.k",
            "1 2, 2 2",
        ),
        (
            "days AS (SELECT DISTINCT k FROM day), \
             pairs AS (SELECT k, g FROM days LEFT JOIN letter ON true GROUP BY k, g)",
            "SELECT d.k, count(*) FROM day d JOIN pairs ON pairs.k = d.k GROUP BY d.k ORDER BY d.k",
            "1 2, 2 2",
        ),
        (
            "days AS (SELECT DISTINCT k FROM day), \
             pairs AS (SELECT k, g FROM letter LEFT JOIN days ON true GROUP BY k, g)",
            "SELECT * FROM pairs ORDER BY k, g DESC",
            "1 y, 1 x, 2 y, 2 x",
        ),
        (
            "days AS (SELECT k, count(*) AS n FROM day GROUP BY k), \
             pairs AS (SELECT k, n, g FROM days CROSS JOIN letter GROUP BY k, n, g)",
            "SELECT k, n, g, count(*) OVER (ORDER BY k) FROM pairs ORDER BY k, g",
            "1 1 x 2, 1 1 y 2, 2 1 x 4, 2 1 y 4",
        ),
        (UNNESTED, "SELECT d.k, count(*) FROM day d JOIN pairs ON pairs.k = d.k GROUP BY d.k ORDER BY d.k", "1 2, 2 2"),
        (UNNESTED, "SELECT k, count(*) FROM (SELECT DISTINCT k, g FROM pairs) GROUP BY k ORDER BY k", "1 2, 2 2"),
        (UNNESTED, "SELECT k, g FROM pairs ORDER BY k, g DESC", "1 y, 1 x, 2 y, 2 x"),
    ];
    const PAIRS: &str = "days AS (SELECT DISTINCT k FROM day), \
                         pairs AS (SELECT k, g FROM days CROSS JOIN letter GROUP BY k, g)";
    const UNNESTED: &str = "lists AS (SELECT k, array_agg(g) AS letters FROM day CROSS JOIN letter GROUP BY k), \
                            pairs AS (SELECT k, unnest(letters) AS g FROM lists)";

    async fn answer(context: &SessionContext, with: &str, query: &str) -> datafusion::common::Result<String> {
        let letters = "letter(g) AS (VALUES ('x'), ('y'))";
        let sql = format!("WITH day(k) AS (VALUES (1), (2)), {letters}, {with} {query}");
        let rows = context.sql(&sql).await?.collect().await?;
        let table = pretty_format_batches(&rows)?.to_string();
        let cells = |line: &str| line.replace('|', " ").split_whitespace().collect::<Vec<_>>().join(" ");
        // The first line with cells is the header.
        Ok(table.lines().filter(|line| line.starts_with('|')).skip(1).map(cells).collect::<Vec<_>>().join(", "))
    }

    #[tokio::test]
    async fn what_is_no_key_is_not_taken_for_one() {
        let context = open(&SessionOptions::default()).unwrap();
        for (with, query, right) in WITHOUT_A_KEY {
            assert_eq!(answer(&context, with, query).await.unwrap(), right, "{with}\n{query}");
            assert_eq!(answer(&for_small_rows(&context), with, query).await.unwrap(), right, "{with}\n{query}");
        }
    }

    /// When this fails, DataFusion has mended some of it; when all of it, `dependencies` can go.
    #[tokio::test]
    async fn what_is_no_key_is_still_taken_for_one_by_datafusion() {
        for (with, query, right) in WITHOUT_A_KEY {
            assert_ne!(answer(&SessionContext::new(), with, query).await.unwrap(), right, "{with}\n{query}");
        }
    }

    /// The planner puts what a key determines into GROUP BY beside it. Once the rules no longer believe in that key, nothing
    /// takes it out again: so it must not get there.
    #[tokio::test]
    async fn nothing_is_grouped_by_that_was_not_written() {
        let context = open(&SessionOptions::default()).unwrap();
        let with = "days AS (SELECT k FROM day GROUP BY k), \
                    pairs AS (SELECT k, g FROM days CROSS JOIN letter GROUP BY k, g)";
        let grouped = answer(&context, with, "SELECT k, count(*) FROM pairs GROUP BY k ORDER BY k").await;
        assert_eq!(grouped.unwrap(), "1 2, 2 2");
        let not_grouped = answer(&context, with, "SELECT k, g, count(*) FROM pairs GROUP BY k").await;
        assert!(not_grouped.unwrap_err().to_string().contains("must appear in the GROUP BY clause"));
    }

    #[tokio::test]
    async fn what_a_key_determines_need_not_be_grouped_by() {
        let context = open(&SessionOptions::default()).unwrap();
        let with = "firsts AS (SELECT k, min(g) AS g FROM day CROSS JOIN letter GROUP BY k)";
        let query = "SELECT f.k, f.g, count(*) FROM firsts f CROSS JOIN letter GROUP BY f.k ORDER BY f.k";
        assert_eq!(answer(&context, with, query).await.unwrap(), "1 x 2, 2 x 2");
    }

    /// Otherwise each row of `day` comes twice.
    #[tokio::test]
    async fn a_subquery_is_not_one_row_because_of_what_is_no_key() {
        let context = open(&SessionOptions::default()).unwrap();
        let with = "days AS (SELECT k FROM day GROUP BY k), \
                    pairs AS (SELECT k, g FROM days CROSS JOIN letter GROUP BY k, g)";
        let query = "SELECT k, (SELECT g FROM pairs WHERE pairs.k = day.k) FROM day";
        let refused = answer(&context, with, query).await.unwrap_err().to_string();
        assert!(refused.contains("at most one row"), "{refused}");
        assert_eq!(answer(&SessionContext::new(), with, query).await.unwrap().split(", ").count(), 4, "not mended");
    }
}
