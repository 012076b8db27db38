//! Results so large that their rows lie in many groups: after a change in one month, the groups that it does not touch are
//! taken over as they are, and everything is as from scratch.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use chrono::NaiveDate;
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
