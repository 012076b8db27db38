//! The bundled catalogue over a generated company: a run from nothing, one after a partition was written again, one after
//! nothing has changed. Time and memory; no peers, since none has the catalogue.
//!
//! ```sh
//! cargo bench --bench catalogue                # ten million rows, three rounds
//! cargo bench --bench catalogue -- 1000000 1   # fewer
//! ```
//!
//! The company is `kpi generate`'s, twenty tables that grow with its accounts; it is made once for each size and kept below
//! `target/bench`. The partition is the last file of `activities`.

mod measure;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use measure::{Program, in_turns, kpi, table, touch};

/// About as many rows `kpi generate` makes for one account.
const ROWS_OF_AN_ACCOUNT: usize = 210;

fn main() {
    let numbers: Vec<usize> =
        std::env::args().skip(1).filter_map(|argument| argument.replace('_', "").parse().ok()).collect();
    let rows = numbers.first().copied().unwrap_or(10_000_000);
    let rounds = numbers.get(1).copied().unwrap_or(3).max(1);
    let folder = project(rows);
    let run = || kpi(&folder, &["run", "--quiet"]);
    println!("the catalogue over {rows} rows; {rounds} rounds after one to warm up");
    let mut programs = vec![
        Program::new("kpi run", run(), &folder, &["out"]),
        Program::new("kpi run, nothing changed", run(), &folder, &[]),
        Program::new("kpi run, one file changed", run(), &folder, &[]).prepared(|folder| touch(&last_file(folder))),
    ];
    in_turns(&mut programs, rounds);
    print!("{}", table(&programs, Some(rows)));
}

/// The folder of the project with that many rows, which is made if it is not there.
fn project(rows: usize) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join(format!("target/bench/catalogue-{rows}"));
    if !folder.join("done").exists() {
        println!("making about {rows} rows in {}", folder.display());
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("the folder can be made");
        std::os::unix::fs::symlink(root.join("kpis"), folder.join("kpis")).expect("the definitions can be linked");
        let accounts = (rows / ROWS_OF_AN_ACCOUNT).max(1).to_string();
        let mut generate = kpi(&folder, &["generate", "--accounts", &accounts, "--out", "data"]);
        let status = generate.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("the program starts");
        assert!(status.success(), "kpi generate: {status}");
        fs::write(folder.join("done"), "").expect("the mark can be written");
    }
    folder
}

/// The last file of the largest table that has a file a month.
fn last_file(folder: &Path) -> PathBuf {
    let mut waiting = vec![folder.join("data/activities")];
    let mut files = Vec::new();
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).expect("the table is there").flatten() {
            if entry.path().is_dir() { waiting.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    files.into_iter().max().expect("the table has files")
}
