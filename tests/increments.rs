//! Runs after changes whose reach is not plain to see: an input that ends on another day than the others, members that only
//! some results have seen, results so large that their rows lie in many groups. Everything is as from scratch.
//!
//! What holds for random projects is in `laws` and `shapes`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use chrono::NaiveDate;
use kpi::engine::RunOptions;
use kpi::generate::Random;
use kpi::materialize::parquet::Stored;

use crate::support::{block_on, differences_from_scratch, open, run, write_files};

const DEFINITIONS: &str = "\
project: visits
---
table: visits
source: visits
time: seen_on
columns: {amount: {type: \"decimal(10,2)\"}}
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
fill: zero
by: [page]
grains: [day]
---
kpi: revenue_of_a_week
from: visits
value: sum(amount)
window: 7 days
by: [page]
grains: [day]
---
kpi: revenue_change
value: revenue - previous(revenue)
by: [page]
grains: [day]
";

/// The visits of a month, in which not every page is seen every day.
fn month(random: &mut Random, month: u32, days: u32) -> String {
    let mut csv = "seen_on,page,amount\n".to_owned();
    for day in 1..=days {
        for page in 0..150 {
            if random.below(7) > 0 {
                writeln!(csv, "2025-{month:02}-{day:02},page {page},{}", random.below(1_000)).unwrap();
            }
        }
    }
    csv
}

/// The groups of rows of a published file.
fn groups(project: &Path, name: &str) -> BTreeSet<String> {
    let bytes = fs::read(project.join(format!("out/published/{name}.parquet"))).unwrap();
    let stored = Stored::open(bytes.into()).unwrap();
    (0..stored.groups()).map(|group| stored.digest(group)).collect()
}

#[test]
fn groups_that_no_change_touches_are_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("project");
    let mut random = Random::new(5);
    write_files(&project, &[("kpis/visits.yaml", DEFINITIONS)]);
    let file = |month: u32| format!("data/visits/2025-{month:02}.csv");
    for index in 1..=10 {
        write_files(&project, &[(&file(index), &month(&mut random, index, 28))]);
    }
    let day = |text: &str| text.parse::<NaiveDate>().unwrap();
    block_on(async {
        run(&open(&project, Some(day("2025-10-31"))).await).await.unwrap();
        let names = ["visits", "revenue_of_a_week", "kpi_values"];
        let mut before = names.map(|name| groups(&project, name));
        let mut kept = [0, 0, 0];
        let steps = [
            ("other rows", file(4), month(&mut random, 4, 28), "2025-10-31"),
            ("fewer days", file(6), month(&mut random, 6, 9), "2025-10-31"),
            ("a month more", file(11), month(&mut random, 11, 30), "2025-11-30"),
        ];
        for (index, (did, file, rows, as_of)) in steps.into_iter().enumerate() {
            write_files(&project, &[(&file, &rows)]);
            let scratch = folder.path().join(format!("scratch {index}"));
            let differences = differences_from_scratch(&project, &scratch, day(as_of)).await;
            assert!(differences.is_empty(), "after {did}: {}", differences.join("\n"));
            let after = names.map(|name| groups(&project, name));
            for (index, (before, after)) in before.iter().zip(&after).enumerate() {
                assert!(after.difference(before).count() > 0, "{} after {did}", names[index]);
                kept[index] += before.intersection(after).count();
            }
            before = after;
        }
        // A change in the first or the last month touches less than one in the middle.
        assert!(kept.iter().all(|kept| *kept > 0), "{kept:?}");
    });
}

/// What is looked back at says which periods are complete today, and how much of the one before an open one counts.
#[test]
fn an_input_of_an_earlier_period_touches_the_periods_of_today() {
    let definitions = "\
project: shop
---
table: sales
source: sales
time: day
---
table: visits
source: visits
time: day
---
kpi: revenue
from: sales
value: sum(amount)
grains: [day, month]
---
kpi: visits
from: visits
value: count(*)
grains: [day, month]
---
kpi: revenue_for_visits_of_last_week
value: revenue / previous(visits, 1 week)
grains: [day]
better: higher
target: 1
---
kpi: revenue_for_visits_of_last_month
value: revenue / previous(visits)
grains: [month]
";
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("project");
    let sale = |month: u32, day: u32| format!("2025-{month:02}-{day:02},10\n");
    let days = |month: u32, first: u32, last: u32| -> String {
        ["day,amount\n".to_owned()].into_iter().chain((first..=last).map(|day| sale(month, day))).collect()
    };
    write_files(
        &project,
        &[
            ("kpis/shop.yaml", definitions),
            ("data/sales/a.csv", &days(2, 1, 28)),
            ("data/sales/b.csv", &days(3, 1, 10)),
            ("data/visits/a.csv", &days(2, 1, 28)),
            ("data/visits/b.csv", &days(3, 1, 6)),
        ],
    );
    let day = |text: &str| text.parse::<NaiveDate>().unwrap();
    block_on(async {
        run(&open(&project, Some(day("2025-03-10"))).await).await.unwrap();
        let steps = [
            ("data/visits/c.csv", days(3, 7, 10), "2025-03-10"),
            ("data/sales/c.csv", days(3, 11, 31), "2025-03-31"),
            ("data/visits/d.csv", days(3, 11, 31), "2025-03-31"),
        ];
        for (index, (file, rows, as_of)) in steps.into_iter().enumerate() {
            write_files(&project, &[(file, &rows)]);
            let scratch = folder.path().join(format!("scratch {index}"));
            let differences = differences_from_scratch(&project, &scratch, day(as_of)).await;
            assert!(differences.is_empty(), "after {file}: {}", differences.join("\n"));
        }
    });
}

/// A KPI that ran without the one below it may have members that this one's result has never seen.
#[test]
fn members_of_results_from_other_runs_are_not_trusted() {
    let definitions = "\
project: shop
---
table: orders
source: orders
time: day
---
kpi: orders
from: orders
value: count(*)
fill: zero
by: [region]
grains: [month]
---
kpi: more_orders
value: orders - previous(orders)
by: [region]
grains: [month]
";
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("project");
    let orders =
        |region: &str, month: u32| format!("day,region\n2025-{month:02}-05,{region}\n2025-{month:02}-15,north\n");
    write_files(&project, &[("kpis/shop.yaml", definitions)]);
    for month in 1..=4 {
        write_files(&project, &[(&format!("data/orders/{month}.csv"), &orders("south", month))]);
    }
    let day = "2025-06-30".parse::<NaiveDate>().unwrap();
    block_on(async {
        run(&open(&project, Some(day)).await).await.unwrap();
        write_files(&project, &[("data/orders/5.csv", &orders("west", 5))]);
        let selected = RunOptions { select: vec!["more_orders".into()], ..RunOptions::default() };
        open(&project, Some(day)).await.run(&selected, &|_| {}).await.unwrap();
        fs::remove_file(project.join("data/orders/5.csv")).unwrap();
        write_files(&project, &[("data/orders/3 more.csv", &orders("north", 3))]);
        let differences = differences_from_scratch(&project, &folder.path().join("scratch"), day).await;
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    });
}
