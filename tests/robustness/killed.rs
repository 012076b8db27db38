//! Runs that are killed at random moments. Every row of the data carries a stamp, and so does every published value: whoever
//! reads sees values of one stamp, those of the run before or those of the run that was killed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use datafusion::arrow::compute::concat_batches;
use kpi::generate::Random;
use kpi::store::{CleanOptions, LogRecord, Store};

use super::rounds;
use crate::support::{Rows, block_on, read_published, write_files};

const DEFINITIONS: &str = "\
project: stamps
---
table: marks
source: marks
time: day
columns: {day: {type: date}, stamp: {type: integer}}
---
table: others
source: others.csv
time: day
columns: {day: {type: date}, stamp: {type: integer}}
---
kpi: largest
from: marks
value: max(stamp)
grains: [month]
---
kpi: least
from: marks
value: min(stamp)
by: [place]
grains: [month, day]
---
kpi: average
from: others
value: avg(stamp)
grains: [month]
---
kpi: largest_so_far
from: others
value: max(stamp)
window: all
grains: [month]
---
kpi: together
value: (largest + average) / 2
grains: [month]
";

/// The KPIs whose values are the stamp.
const KPIS: [&str; 5] = ["largest", "least", "average", "largest_so_far", "together"];

pub fn project(folder: &Path) -> PathBuf {
    let project = folder.join("project");
    write_files(&project, &[("kpis/stamps.yaml", DEFINITIONS)]);
    project
}

/// Data of one stamp. What is written before it has another name is no file of the table.
pub fn stamp(project: &Path, stamp: u64) {
    const HEADER: &str = "day,place,stamp\n";
    let mut files = BTreeMap::from([("data/others.csv".to_owned(), HEADER.to_owned())]);
    for month in 1..=3 {
        let mut rows = String::new();
        for day in 1..=28 {
            for place in ["north", "south"] {
                rows.push_str(&format!("2025-{month:02}-{day:02},{place},{stamp}\n"));
            }
        }
        files.entry("data/others.csv".to_owned()).or_default().push_str(&rows);
        files.insert(format!("data/marks/2025-{month:02}.csv"), HEADER.to_owned() + &rows);
    }
    for (name, rows) in files {
        let path = project.join(&name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let written = project.join("being_written");
        fs::write(&written, rows).unwrap();
        fs::rename(written, path).unwrap();
    }
}

pub fn command(project: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kpi"));
    command.args(arguments).current_dir(project).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

pub fn run(project: &Path) {
    let output = command(project, &["run"]).stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The stamp of everything that a version holds.
pub fn stamp_of(store: &Store, head: &LogRecord) -> u64 {
    let mut stamps = BTreeSet::new();
    for kpi in KPIS.iter().chain(&["kpi_values"]) {
        let rows = block_on(store.read_kpi(head, kpi)).unwrap();
        let rows = rows.unwrap_or_else(|| panic!("version {} has no `{kpi}`", head.version));
        let rows = Rows::of(&concat_batches(&rows[0].schema(), &rows).unwrap());
        stamps.extend(stamps_of(&rows, kpi));
    }
    assert_eq!(stamps.len(), 1, "version {} mixes {stamps:?}", head.version);
    *stamps.first().unwrap()
}

/// The stamps of rows, none of which is there twice.
fn stamps_of(rows: &Rows, name: &str) -> BTreeSet<u64> {
    let value = rows.index("value");
    let is_key = |index: &usize| {
        ["kpi", "grain", "breakdown", "period_start", "place", "members"].contains(&rows.names[*index].as_str())
    };
    let keys: Vec<usize> = (0..rows.names.len()).filter(is_key).collect();
    let mut seen = BTreeSet::new();
    let mut stamps = BTreeSet::new();
    for row in &rows.cells {
        assert!(seen.insert(keys.iter().map(|key| &row[*key]).collect::<Vec<_>>()), "`{name}` has {row:?} twice");
        stamps.insert(row[value].parse::<f64>().unwrap_or_else(|_| panic!("`{name}`: {row:?}")) as u64);
    }
    assert!(!seen.is_empty(), "`{name}` has no rows");
    stamps
}

/// A random while of the time that a run takes.
fn wait_in(random: &mut Random, whole: Duration) {
    sleep(whole.mul_f64(random.uniform(0.0, 1.15)));
}

fn kill(mut child: Child) {
    let _ = child.kill();
    child.wait().unwrap();
}

/// Kills runs until so many were killed; how many of them had published by then.
fn kill_runs(seed: u64, count: u64) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let project = project(folder.path());
    let store = Store::open_local(&project.join("out")).unwrap();
    let mut random = Random::new(seed);
    stamp(&project, 1);
    run(&project);
    stamp(&project, 2);
    let started = Instant::now();
    run(&project);
    let whole = started.elapsed();
    let (mut now, mut had_published) = (2, 0);
    for round in 0..count {
        let next = round + 3;
        stamp(&project, next);
        let child = command(&project, &["run"]).spawn().unwrap();
        wait_in(&mut random, whole);
        kill(child);
        let head = block_on(store.head()).unwrap().unwrap();
        let found = stamp_of(&store, &head);
        assert!(found == now || found == next, "{found} after {now}, while {next} was computed");
        had_published += u64::from(found == next);
        now = found;
        // The plain copies switch file by file, and each is whole.
        for kpi in KPIS.iter().chain(&["kpi_values"]) {
            let stamps = stamps_of(&Rows::of(&read_published(&project, kpi)), kpi);
            assert_eq!(stamps.len(), 1, "the copy of `{kpi}` mixes {stamps:?}");
        }
        if round % 20 == 19 {
            run(&project);
            now = next;
            assert_eq!(stamp_of(&store, &block_on(store.head()).unwrap().unwrap()), now);
        }
    }
    run(&project);
    assert_is_as_from_scratch(&project, &folder.path().join("scratch"));
    assert_all_is_named_or_goes(&project, &store);
    had_published
}

/// What is published has the same bytes as what one run publishes that nobody disturbed.
fn assert_is_as_from_scratch(project: &Path, scratch: &Path) {
    crate::support::copy_folder(&project.join("kpis"), &scratch.join("kpis"));
    crate::support::copy_folder(&project.join("data"), &scratch.join("data"));
    run(scratch);
    for kpi in KPIS.iter().chain(&["kpi_values"]) {
        let [one, other] =
            [project, scratch].map(|folder| fs::read(folder.join(format!("out/published/{kpi}.parquet"))));
        assert!(one.unwrap() == other.unwrap(), "`{kpi}` is not as from scratch");
    }
}

/// After the clean-up there are only files that a version names, and what belongs to the log.
fn assert_all_is_named_or_goes(project: &Path, store: &Store) {
    let output = project.join("out");
    let long_ago = SystemTime::now() - Duration::from_secs(8 * 24 * 60 * 60);
    for file in files_below(&output) {
        fs::File::options().append(true).open(&file).unwrap().set_modified(long_ago).unwrap();
    }
    let needless = block_on(async {
        let needless = store.find_needless(&CleanOptions { keep: Some(1), ..CleanOptions::default() }).await?;
        store.delete_needless(needless).await
    });
    assert!(!needless.unwrap().files.is_empty(), "killed runs leave something behind");
    let head = block_on(store.head()).unwrap().unwrap();
    let named: BTreeSet<PathBuf> =
        head.kpis.values().flat_map(|entry| &entry.files).map(|file| output.join(&file.path)).collect();
    let of_the_log = [output.join("_kpi"), output.join("published")];
    let left: Vec<PathBuf> = files_below(&output)
        .into_iter()
        .filter(|file| !named.contains(file) && !of_the_log.iter().any(|folder| file.starts_with(folder)))
        .collect();
    assert!(left.is_empty(), "no version names {left:?}");
    let leftovers: Vec<PathBuf> = files_below(&output)
        .into_iter()
        .filter(|file| file.extension().is_some_and(|ending| ending == "tmp"))
        .collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
    let runs = files_below(&output.join("_kpi/runs"));
    assert_eq!(runs.len(), 1, "{runs:?}");
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => files.extend(files_below(&entry.path())),
            false => files.push(entry.path()),
        }
    }
    files
}

#[test]
fn runs_killed_at_any_moment_leave_whole_versions() {
    let count = rounds(100);
    let published: u64 = std::thread::scope(|scope| {
        let killing = [1, 2].map(|seed| scope.spawn(move || kill_runs(seed, count)));
        killing.map(|killing| killing.join().unwrap()).into_iter().sum()
    });
    println!("{} runs killed, {published} of them behind their commit", 2 * count);
    // Else nobody was killed where it matters.
    assert!(published > 0 && published < 2 * count, "{published} of {} had published", 2 * count);
}
