//! Files that nobody meant to write: definitions, data, the log and the results with bytes changed, cut, doubled and put in
//! where they do not belong. Whatever they hold, there is an answer in time, and it is never a panic or a bug's exit code.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use chrono::NaiveDate;
use datafusion::arrow::compute::concat_batches;
use kpi::diagnostic::{render_text, to_json};
use kpi::engine::{KpiOutcome, RunOptions};
use kpi::error::{Error, ErrorKind};
use kpi::generate::Random;
use kpi::store::{CleanOptions, Store};

use super::rounds;
use crate::support::{Rows, block_on, copy_folder, open, read_published, run, write_files, write_parquet};

/// Everything takes milliseconds; what takes longer than this on a busy machine hangs.
const AT_MOST: Duration = Duration::from_secs(180);

/// Everything is looked at from this day.
const DAY: Option<NaiveDate> = NaiveDate::from_ymd_opt(2025, 4, 30);

/// What means something in one of the formats, or is odd in all of them.
const WORDS: [&[u8]; 40] = [
    b"---",
    b"&a",
    b"*a",
    b"<<: *a",
    b"!!binary",
    b"!x",
    b"{",
    b"}",
    b"[",
    b"]",
    b": ",
    b"- ",
    b"? ",
    b"|",
    b">",
    b"%YAML 9",
    b"/* ---",
    b"--- */",
    b"*/",
    b"{{",
    b"}}",
    b"'",
    b"\"",
    b"\\",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\r",
    b"\t",
    b"\n",
    b"-1",
    b"1e309",
    b"99999999999999999999",
    b"null",
    b"true",
    b"2025-02-30",
    b"../..",
    b"(((((",
    b"OVER ()",
];

/// Other bytes of about the same kind.
fn spoiled(random: &mut Random, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(3) {
        let place = |random: &mut Random, bytes: &[u8]| random.below(bytes.len() as u64 + 1) as usize;
        let (one, other) = (place(random, &bytes), place(random, &bytes));
        let (start, end) = (one.min(other), one.max(other).min(one.min(other) + 200));
        match random.below(7) {
            0 if start < bytes.len() => bytes[start] ^= 1 << random.below(8),
            1 => drop(bytes.drain(start..end)),
            2 => bytes.truncate(start),
            3 => {
                let piece = bytes[start..end].to_vec();
                let target = place(random, &bytes);
                drop(bytes.splice(target..target, piece));
            }
            4 => {
                let piece = vec![*random.choice(b"a {[(\"-0\n"); random.below(3_000) as usize];
                drop(bytes.splice(start..start, piece));
            }
            5 => drop(bytes.splice(start..end.min(start + 4), random.choice(&WORDS).to_vec())),
            _ => drop(bytes.splice(start..start, random.choice(&WORDS).to_vec())),
        }
    }
    bytes
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() { files_below(&path, found) } else { found.push(path) }
    }
}

/// Spoils a file of a copy of one of the projects, and looks at it; what panics or hangs is told with the file's bytes.
fn spoil_one_by_one(
    seed: u64,
    count: u64,
    projects: &[PathBuf],
    is_spoiled: impl Fn(&Path) -> bool,
    look: impl Fn(&Path),
) {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random::new(seed);
    for round in 0..count {
        let project = folder.path().join(round.to_string());
        let original = random.choice(projects);
        copy_folder(original, &project);
        let mut files = Vec::new();
        files_below(&project, &mut files);
        files.retain(|file| is_spoiled(file.strip_prefix(&project).unwrap()));
        let file = random.choice(&files).clone();
        let bytes = spoiled(&mut random, &fs::read(&file).unwrap());
        fs::write(&file, &bytes).unwrap();
        let (done, wait) = mpsc::channel::<()>();
        let told = |project: &Path| {
            let name = file.strip_prefix(project).unwrap().display();
            format!(
                "seed {seed}, round {round}, {name} of {}:\n{}",
                original.display(),
                String::from_utf8_lossy(&bytes)
            )
        };
        let words = told(&project);
        // Whoever hangs cannot be stopped, so the whole program ends.
        let watch = std::thread::spawn(move || {
            if wait.recv_timeout(AT_MOST) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("hangs: {words}");
                std::process::abort();
            }
        });
        let looked = catch_unwind(AssertUnwindSafe(|| look(&project)));
        drop(done);
        watch.join().unwrap();
        if let Err(panic) = looked {
            eprintln!("{}", told(&project));
            resume_unwind(panic);
        }
        fs::remove_dir_all(&project).unwrap();
    }
}

/// Two at once, each with chances of its own.
fn side_by_side(work: impl Fn(u64) + Sync) {
    std::thread::scope(|scope| {
        let working = [1, 2].map(|seed| {
            let work = &work;
            scope.spawn(move || work(seed))
        });
        working.into_iter().for_each(|working| working.join().unwrap_or_else(|panic| resume_unwind(panic)));
    });
}

fn refuse_bug(error: &Error) {
    assert_ne!(error.kind(), ErrorKind::Internal, "{error}");
}

/// Runs what can run, and looks at each outcome.
async fn run_all(project: &Path) {
    match run(&open(project, DAY).await).await {
        Ok(report) => report.kpis.iter().for_each(|(_, outcome)| {
            if let KpiOutcome::Failed { error } = outcome {
                refuse_bug(error);
            }
        }),
        Err(error) => refuse_bug(&error),
    }
}

/// A project with data in both formats, all of which runs.
fn sales(folder: &Path) -> PathBuf {
    let project = folder.join("project");
    write_files(&project, &[("kpis/sales.yaml", DEFINITIONS), ("data/orders.csv", ORDERS)]);
    block_on(write_parquet(&project.join("data/orders.csv"), &project.join("data/visits.parquet")));
    project
}

/// The rows of every KPI in every version, as far as they can be read.
async fn readable(project: &Path) -> BTreeMap<(u64, String), Vec<Vec<String>>> {
    let store = Store::open_local(&project.join("out")).unwrap();
    let mut found = BTreeMap::new();
    for version in 1..=3 {
        let Ok(Some(record)) = store.record(version).await else { continue };
        for kpi in record.kpis.keys() {
            let Ok(Some(rows)) = store.read_kpi(&record, kpi).await else { continue };
            let rows = Rows::of(&concat_batches(&rows[0].schema(), &rows).unwrap());
            found.insert((version, kpi.clone()), rows.cells);
        }
    }
    found
}

/// The projects of the other tests, which use every word of the language.
fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|case| case.join("kpis").is_dir());
    cases.sort();
    cases
}

#[test]
fn definitions_of_any_bytes_are_mistakes_or_run() {
    let cases = cases();
    let is_definition = |file: &Path| file.starts_with("kpis");
    side_by_side(|seed| {
        spoil_one_by_one(seed, rounds(150), &cases, is_definition, |project| {
            block_on(async {
                let engine = open(project, DAY).await;
                let diagnostics = engine.diagnostics();
                let text = render_text(&diagnostics, engine.sources(), true);
                assert_eq!(diagnostics.is_empty(), text.is_empty());
                to_json(&diagnostics, engine.sources());
                engine.advice(DAY);
                if diagnostics.is_empty() {
                    run_all(project).await;
                }
            });
        });
    });
}

#[test]
fn data_of_any_bytes_is_refused_or_counted() {
    let folder = tempfile::tempdir().unwrap();
    let project = sales(folder.path());
    block_on(async {
        let report = run(&open(&project, DAY).await).await.unwrap();
        assert_eq!(report.exit_code(), 0, "{report:?}");
    });
    fs::remove_dir_all(project.join("out")).unwrap();
    side_by_side(|seed| {
        let projects = [project.clone()];
        spoil_one_by_one(
            seed,
            rounds(150),
            &projects,
            |file| file.starts_with("data"),
            |project| {
                block_on(run_all(project));
            },
        );
    });
}

/// Whatever runs although a file cannot be used has the values that it has with the file: nothing reaches the file by a way
/// that nobody thought of.
#[test]
fn what_runs_beside_an_unusable_file_never_needed_it() {
    let cases = cases();
    let ran = AtomicU64::new(0);
    let failed = AtomicU64::new(0);
    let next = AtomicUsize::new(0);
    side_by_side(|_| {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let folder = tempfile::tempdir().unwrap();
            let as_of = fs::read_to_string(case.join("as_of")).unwrap().trim().parse().ok();
            let whole = folder.path().join("whole");
            copy_folder(case, &whole);
            let report = block_on(async { run(&open(&whole, as_of).await).await });
            let Ok(report) = report else { continue };
            let is_published = |outcome: &KpiOutcome| matches!(outcome, KpiOutcome::Published { .. });
            let good: Vec<&String> =
                report.kpis.iter().filter(|(_, outcome)| is_published(outcome)).map(|(name, _)| name).collect();
            let mut files = Vec::new();
            files_below(&case.join("data"), &mut files);
            for file in files {
                let broken = folder.path().join("broken");
                copy_folder(case, &broken);
                // No Parquet, and no CSV with as many values in each line.
                fs::write(broken.join(file.strip_prefix(case).unwrap()), "a,b\n1\n").unwrap();
                let report = block_on(async { run(&open(&broken, as_of).await).await });
                for (name, outcome) in report.iter().flat_map(|report| &report.kpis) {
                    failed.fetch_add(u64::from(!is_published(outcome)), Ordering::Relaxed);
                    if !is_published(outcome) || !good.contains(&name) {
                        continue;
                    }
                    ran.fetch_add(1, Ordering::Relaxed);
                    let [one, other] = [&whole, &broken].map(|project| Rows::of(&read_published(project, name)));
                    let difference = one.difference(&other).or((one.names != other.names).then(|| "columns".into()));
                    assert_eq!(difference, None, "`{name}` of {} without {}", case.display(), file.display());
                }
                fs::remove_dir_all(&broken).unwrap();
            }
        }
    });
    let (ran, failed) = (ran.into_inner(), failed.into_inner());
    println!("{ran} results beside unusable files, {failed} that failed with them");
    assert!(ran > 50 && failed > 50, "{ran} ran, {failed} failed");
}

#[test]
fn a_log_of_any_bytes_is_refused_or_mended() {
    let folder = tempfile::tempdir().unwrap();
    let project = sales(folder.path());
    block_on(async {
        for (day, of_all) in [(20, true), (25, true), (30, false)] {
            let engine = open(&project, NaiveDate::from_ymd_opt(2025, 4, day)).await;
            let select = if of_all { Vec::new() } else { vec!["revenue".to_owned()] };
            engine.run(&RunOptions { select, ..RunOptions::default() }, &|_| {}).await.unwrap();
        }
    });
    let originals = block_on(readable(&project));
    assert_eq!(originals.len(), 15, "three versions of four KPIs and of all values");
    side_by_side(|seed| {
        let projects = [project.clone()];
        spoil_one_by_one(
            seed,
            rounds(100),
            &projects,
            |file| file.starts_with("out"),
            |project| {
                block_on(async {
                    let engine = open(project, DAY).await;
                    // What can still be read is what was written.
                    for (place, rows) in readable(project).await {
                        assert!(originals.get(&place) == Some(&rows), "{place:?} is {rows:?}");
                    }
                    let told = |error: Option<Error>| error.iter().for_each(refuse_bug);
                    told(engine.history(None, 20).await.err());
                    told(engine.diff(1, 3, &[]).await.err());
                    told(engine.unfinished().await.err());
                    told(engine.preview(&RunOptions::default()).await.err());
                    told(engine.store().unwrap().find_needless(&CleanOptions::default()).await.err());
                    run_all(project).await;
                    told(engine.roll_back(1).await.err());
                });
            },
        );
    });
}

const DEFINITIONS: &str = "\
project: sales
---
table: orders
source: orders.csv
time: ordered_on
columns: {ordered_on: {type: date}, amount: {type: \"decimal(12,2)\"}, note: {type: text}}
---
table: visits
source: visits.parquet
time: ordered_on
---
kpi: revenue
from: orders
value: sum(amount)
by: [channel]
grains: [day, month]
---
kpi: visits
from: visits
value: count(*) FILTER (WHERE channel = 'web')
window: 7 days
by: [channel]
grains: [day]
---
kpi: buyers
from: visits
value: count(distinct note)
by: [channel]
grains: [month]
---
kpi: revenue_per_buyer
value: revenue / buyers
by: [channel]
";

const ORDERS: &str = "\
ordered_on,channel,amount,note
2025-01-05,web,100.50,\"a, b\"
2025-01-25,shop,50,\"c \"\"d\"\"\"
2025-02-05,web,200,
2025-03-05,,12.25,\"two
lines\"
2025-03-31,web,300,e
2025-04-02,web,10,\u{e4}\u{f6}\u{fc}
";
