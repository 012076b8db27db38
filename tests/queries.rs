//! Laws of queries over a project: a KPI as a table is what `kpi show` computes, and a query that is given up leaves nothing
//! behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use kpi::compile::breakdown;
use kpi::engine::{Engine, Question};
use kpi::query::{Failure, QuerySession, Step, Written};
use kpi::time::Grain;
use tempfile::TempDir;
use tokio::runtime::{Handle, Runtime};

use crate::catalogue::write_micro;
use crate::support::{Rows, block_on, open};

fn written(sql: &str) -> Written {
    Written::new("the statement", sql, 0..sql.len())
}

/// All rows of a statement.
async fn rows(session: &Arc<QuerySession>, sql: &str) -> Result<RecordBatch, Failure> {
    let mut running = session.run(written(sql));
    let (mut schema, mut batches) = (None, Vec::new());
    while let Some(step) = running.next().await {
        match step? {
            Step::Columns(columns) => schema = Some(columns),
            Step::Rows(rows) => batches.push(rows),
        }
    }
    Ok(concat_batches(&schema.unwrap(), &batches).unwrap())
}

/// The bundled catalogue over the micro data.
async fn micro_session() -> (TempDir, Arc<Engine>, Arc<QuerySession>) {
    let folder = tempfile::tempdir().unwrap();
    write_micro(folder.path());
    let engine = Arc::new(open(folder.path(), None).await);
    let session = QuerySession::open(engine.clone(), Handle::current()).unwrap();
    (folder, engine, Arc::new(session))
}

/// Of every KPI, overall and by each of its sets of dimensions.
#[test]
fn a_kpi_as_a_table_is_what_is_shown() {
    block_on(async {
        let (_folder, engine, session) = micro_session().await;
        let kpis: Vec<_> = engine.model().defined().cloned().collect();
        let mut compared = 0;
        for (index, kpi) in kpis.iter().enumerate() {
            // Computing takes its time, and the way is the same for all.
            let is_compared = index % 5 == 0;
            let sets = kpi.dimension_sets.iter().take(if is_compared { 2 } else { 1 });
            for set in sets {
                let question = Question { kpi: kpi.name.clone(), by: set.clone(), ..Question::default() };
                let Ok(shown) = engine.show(&question).await else { continue };
                assert_eq!(engine.columns_of(&question).unwrap(), shown.schema, "{} by {}", kpi.name, breakdown(set));
                compared += 1;
                if is_compared {
                    let by: Vec<String> = set.iter().map(|name| format!("'{name}'")).collect();
                    let sql = format!("SELECT * FROM kpi('{}', by => [{}])", kpi.name, by.join(", "));
                    let asked = rows(&session, &sql).await.unwrap();
                    assert_eq!(Rows::of(&asked).cells, Rows::of(&shown.rows).cells, "{sql}");
                }
            }
        }
        assert!(compared > 120, "{compared}");
    });
}

/// What a query asks of the periods limits what is computed, and changes no value.
#[test]
fn conditions_on_periods_change_no_value() {
    block_on(async {
        let (_folder, engine, session) = micro_session().await;
        for kpi in
            ["close_rate", "customer_retention_rate", "revenue_growth_rate", "new_customers", "mrr", "total_revenue"]
        {
            let known = engine.model().kpis.contains_key(kpi);
            assert!(known, "{kpi}");
            let all = format!("kpi('{kpi}', grain => '{}')", Grain::Month);
            for condition in [
                "period_start >= '2025-02-01'",
                "period_start > '2025-01-15' AND value IS NOT NULL",
                "period_start = DATE '2025-03-01'",
                "period_start >= '2025-02-01' AND period_start < '2025-03-01'",
                "period_start <= '2025-02-01'",
                "period_start >= '2025-02-01' OR value > 0",
                "DATE '2025-02-01' <= period_start",
            ] {
                let pushed = rows(&session, &format!("SELECT * FROM {all} WHERE {condition}")).await.unwrap();
                let sql = format!("CREATE OR REPLACE TABLE everything AS SELECT * FROM {all}");
                rows(&session, &sql).await.unwrap();
                let filtered = rows(&session, &format!("SELECT * FROM everything WHERE {condition}")).await.unwrap();
                assert_eq!(Rows::of(&pushed).cells, Rows::of(&filtered).cells, "{kpi}: {condition}");
            }
        }
    });
}

/// Queries that keep the cores and the memory busy, each in another operator.
const HEAVY: [&str; 8] = [
    "SELECT count(*) FROM generate_series(1, 100000000000)",
    "SELECT value FROM generate_series(1, 30000000) ORDER BY value % 1000003",
    "SELECT value % 5000011 AS k, count(*) FROM generate_series(1, 30000000) GROUP BY 1",
    "SELECT count(*) FROM generate_series(1, 3000000) a JOIN generate_series(1, 3000000) b ON a.value % 1000 = b.value % 1000",
    "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b WHERE a.value * b.value % 7 = 3",
    "SELECT sum(r) FROM (SELECT row_number() OVER (PARTITION BY value % 100 ORDER BY value DESC) AS r \
     FROM generate_series(1, 20000000))",
    "SELECT count(DISTINCT value * 7) FROM generate_series(1, 30000000)",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) SELECT max(i) FROM n",
];

/// A hundred of them, given up at different moments.
#[test]
fn a_query_that_is_given_up_leaves_no_memory_behind() {
    let statements = Runtime::new().unwrap();
    let handle = statements.handle().clone();
    block_on(async move {
        let engine = Arc::new(Engine::without_project(&Default::default()).await.unwrap());
        let session = Arc::new(QuerySession::open(engine, handle).unwrap());
        for round in 0..100_u64 {
            let sql = HEAVY[round as usize % HEAVY.len()];
            let mut running = session.run(written(sql));
            let rows = async { while let Some(Ok(_)) = running.next().await {} };
            let moment = Duration::from_millis(5 + round * 37 % 150);
            assert!(tokio::time::timeout(moment, rows).await.is_err(), "`{sql}` was done too soon");
            running.end().await;
            // Its parts end at their next step, which takes what it takes where others are at work.
            let started = Instant::now();
            while session.reserved() > 0 {
                assert!(
                    started.elapsed() < Duration::from_secs(60),
                    "`{sql}` still holds {} bytes",
                    session.reserved()
                );
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        // And the session is as it was.
        assert_eq!(rows(&session, "SELECT 42").await.unwrap().num_rows(), 1);
    });
    statements.shutdown_background();
}
