//! Little memory changes how values are computed, and none of them.

use std::fmt::Write as _;
use std::path::Path;

use kpi::engine::{Engine, EngineOptions, RunReport};
use kpi::generate::Random;
use kpi::session::SessionOptions;
use kpi::survey::AsOf;

use crate::support::{Rows, block_on, read_published, run, write_files};

/// The table of all KPIs.
const VISITS: &str = "\
project: memory
---
table: visits
source: visits.csv
time: seen_on
columns:
  seen_on: {type: date}
  visitor: {type: text}
  page: {type: text}
  seconds: {type: integer}
  amount: {type: \"decimal(10,2)\"}
";

const DEFINITIONS: &str = "\
---
kpi: visits
from: visits
value: count(*)
by: [page]
grains: [day, month]
---
kpi: revenue
from: visits
value: sum(amount)
by: [page]
grains: [day, month]
---
kpi: visitors
from: visits
value: count(DISTINCT visitor)
by: [page]
grains: [month, year]
---
kpi: long_visitors
from: visits
where: seconds > 100
value: count(DISTINCT visitor)
grains: [month]
---
kpi: time_on_page
from: visits
value: median(seconds)
by: [page]
grains: [week, month]
---
kpi: largest_of_most
from: visits
value: percentile_disc(0.9) WITHIN GROUP (ORDER BY amount)
grains: [month, quarter]
---
kpi: revenue_per_visitor
value: revenue / visitors
grains: [month]
";

/// Levels and windows over the same rows, and over a derived table.
const LEVELS: &str = "\
---
kpi: visitors_of_30_days
from: visits
value: count(DISTINCT visitor)
window: 30 days
grains: [week]
---
kpi: readers
from: reads
stock: {from: begins, to: ends}
value: count(DISTINCT visitor)
by: [page]
grains: [week]
---
kpi: kept_readers
from: reads
stock: {from: begins, to: ends}
per: visitor
columns: {pages: count(*)}
value: count(*) FILTER (WHERE opening.pages > 0 AND closing.pages > 0) / count(*) FILTER (WHERE opening.pages > 0)
grains: [month]
";

/// A derived table of more rows than stay in memory.
const READS: &str = "\
/* ---
table: reads
time: begins
dimensions: {page: page}
--- */
SELECT visitor, page, min(seen_on) AS begins, max(seen_on) AS ends, sum(amount) AS amount
FROM visits
GROUP BY visitor, page
";

fn visits() -> String {
    let mut random = Random::new(11);
    let mut csv = "seen_on,visitor,page,seconds,amount\n".to_owned();
    for _ in 0..60_000 {
        let (month, day) = (1 + random.below(6), 1 + random.below(28));
        let (visitor, page) = (random.below(20_000), random.below(12));
        let (seconds, cents) = (random.below(300), random.below(100_000));
        writeln!(
            csv,
            "2025-{month:02}-{day:02},somebody with the number {visitor},page {page},{seconds},{}.{:02}",
            cents / 100,
            cents % 100
        )
        .unwrap();
    }
    csv
}

async fn run_with(project: &Path, memory_limit: Option<usize>) -> RunReport {
    let session = SessionOptions { memory_limit, ..SessionOptions::default() };
    let as_of = Some(AsOf::end_of("2025-12-31".parse().unwrap()));
    let options = EngineOptions { project: project.to_owned(), session, as_of, ..EngineOptions::default() };
    run(&Engine::open(&options).await.unwrap()).await.unwrap()
}

/// Runs definitions with plenty of memory and with little, and holds both to the same values.
fn assert_same(definitions: &str, memory_limit: usize) {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("kpis/project.yaml", &*format!("{VISITS}{definitions}")),
        ("kpis/reads.sql", READS),
        ("data/visits.csv", &visits()),
    ];
    let [plenty, little] = ["plenty", "little"].map(|name| folder.path().join(name));
    write_files(&plenty, &files);
    write_files(&little, &files);
    block_on(async {
        let report = run_with(&plenty, None).await;
        assert_eq!(report.exit_code(), 0, "{:?}", report.kpis);
        let report = run_with(&little, Some(memory_limit)).await;
        assert_eq!(report.exit_code(), 0, "{:?}", report.kpis);
        for (name, _) in report.kpis {
            let [few, many] = [&little, &plenty].map(|project| Rows::of(&read_published(project, &name)));
            assert_eq!(few.difference(&many), None, "{name}");
        }
    });
}

/// The pass needs several times the memory that there is. It is taken apart, in the end into KPIs that read the table alone.
#[test]
fn a_pass_gives_the_same_values_with_little_memory() {
    assert_same(DEFINITIONS, 8 << 20);
}

/// The rows that are made once lie in files, and where a walk does not fit, rows are joined with their periods.
#[test]
fn levels_and_windows_give_the_same_values_with_little_memory() {
    assert_same(LEVELS, 64 << 20);
}
