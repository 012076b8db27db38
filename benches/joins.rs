//! Eighteen KPIs over a table joined with three others: `kpi run` beside DuckDB, with one query for each KPI and with all of them
//! fused by hand.
//!
//! ```sh
//! cargo bench --bench joins           # TPC-H at scale factor 3, three rounds
//! cargo bench --bench joins -- 1 5    # a smaller one
//! ```
//!
//! The tables are TPC-H's `lineitem` (18 million rows at scale factor 3), `orders`, `customer` and `nation`, as Parquet. Each
//! KPI is a sum, a count or an average by month and nation, by week and segment or by day and priority. Values are compared
//! with DuckDB's. `PYTHON` names a Python with `duckdb` and `tpchgen-cli`; without the second there are no tables, so nothing
//! is measured.

mod measure;
mod peers;

use std::fs;
use std::path::Path;

use measure::{Program, in_turns, kpi, table, touch};
use peers::{python, run_quietly};

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let scale = numbers.first().copied().unwrap_or(3).max(1);
    let rounds = numbers.get(1).copied().unwrap_or(3).max(1);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join(format!("target/bench/joins-{scale}"));
    fs::create_dir_all(folder.join("kpis")).expect("the folder of the benchmark can be made");
    let script = root.join("benches/joins.py");
    let peer = |mode: &str| {
        let mut command = python();
        command.arg(&script).arg(mode).arg(scale.to_string()).current_dir(&folder);
        command
    };
    if !run_quietly(&mut peer("prepare")) {
        println!("no tables: `PYTHON` has to name a Python with `duckdb` and `tpchgen-cli`");
        return;
    }
    let run = || kpi(&folder, &["run", "--quiet"]);
    let mut programs = vec![
        Program::new("kpi run", run(), &folder, &["out"]),
        Program::new("kpi run, nothing changed", run(), &folder, &[]),
        Program::new("kpi run, nations changed", run(), &folder, &[])
            .prepared(|folder| touch(&folder.join("data/nation.parquet"))),
        Program::new("DuckDB, fused by hand", peer("fused"), &folder, &[]),
        Program::new("DuckDB, one query per KPI", peer("alone"), &folder, &[]),
    ];
    println!("TPC-H at scale factor {scale}, 18 KPIs, {rounds} rounds after one to warm up");
    in_turns(&mut programs, rounds);
    print!("{}", table(&programs, Some(6_000_000 * scale)));
    let output = peer("compare").output().expect("python ran before");
    print!("{}", String::from_utf8_lossy(&output.stdout));
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the values differ");
}
