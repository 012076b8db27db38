//! Sixty KPIs over thirty million interactions: `kpi run` beside one query per KPI and one scan fused by hand.
//!
//! ```sh
//! cargo bench --bench interactions                    # thirty million rows, three rounds
//! cargo bench --bench interactions -- 3000000 5       # fewer
//! ```
//!
//! Forty-eight KPIs are sums, counts, ratios and maxima, eight are exact distinct counts, four exact percentiles; each at one
//! grain and for one set of dimensions, as reports ask them. The programs take turns, each as a process of its own:
//!
//! - `kpi run` for the first time, which also audits, keeps versions and writes the long table; and again after nothing changed,
//!   after a month in the middle and the last one were written again, and looked at from the next day;
//! - DuckDB with one query for each KPI, and with everything fused by hand as well as it can be (one scan for what adds up,
//!   bit strings for distinct counts); Polars with one lazy query for each KPI, collected together; DataFusion with one query
//!   for each KPI, in this program. They fetch their results and write nothing.
//! - reading the columns alone, the least that anybody has to do.
//!
//! Values are compared with DuckDB's. `PYTHON` names a Python with `duckdb` and `polars`; without it `kpi` runs with
//! DataFusion alone.

mod data;
mod measure;
mod peers;
mod random;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use datafusion::prelude::{ParquetReadOptions, SessionContext};

use data::{make_part, part};
use measure::{Program, in_turns, kpi, table, touch};
use peers::{python, run_quietly};

const FILES: usize = 36;
const GRAINS: [&str; 3] = ["day", "week", "month"];
const SETS: [&[&str]; 5] = [&[], &["channel"], &["region"], &["product"], &["channel", "region"]];

/// Twelve values: a name, what counts, both sides where it is a ratio.
const MEASURES: [(&str, &str, &str, &str); 12] = [
    ("interactions", "", "count(*)", ""),
    ("resolved", "resolved", "count(*)", ""),
    ("resolution_rate", "", "count(*) FILTER (WHERE resolved)", "count(*)"),
    ("handle_total", "", "sum(handle_seconds)", ""),
    ("average_handle_time", "", "sum(handle_seconds)", "count(handle_seconds)"),
    ("amount", "", "sum(amount)", ""),
    ("average_ticket", "amount > 0", "sum(amount)", "count(*)"),
    ("long_calls", "handle_seconds > 600", "count(*)", ""),
    ("phone_handle_time", "channel = 'phone'", "sum(handle_seconds)", "count(*)"),
    ("digital_resolution", "channel IN ('chat', 'in_app', 'web_form')", "count(*) FILTER (WHERE resolved)", "count(*)"),
    ("unresolved_amount", "NOT resolved", "sum(amount)", ""),
    ("longest", "", "max(handle_seconds)", ""),
];

/// One KPI of the workload.
struct Definition {
    name: String,
    kind: &'static str,
    condition: &'static str,
    value: String,
    denominator: &'static str,
    grain: &'static str,
    dimensions: &'static [&'static str],
}

fn workload() -> Vec<Definition> {
    let mut all = Vec::new();
    let mut add = |name: &str, kind, condition, value: String, denominator, grain: usize, set: usize| {
        let (grain, dimensions) = (GRAINS[grain], SETS[set]);
        let of = if dimensions.is_empty() { "overall".to_owned() } else { dimensions.join("_") };
        let name = format!("{name}_{grain}_{of}");
        all.push(Definition { name, kind, condition, value, denominator, grain, dimensions });
    };
    for (index, (name, condition, value, denominator)) in MEASURES.into_iter().enumerate() {
        for step in 0..4 {
            // Each measure in four of the fifteen cells, so that all cells are asked about as often.
            let cell = (index * 4 + step + index / 4) % 15;
            add(name, "sum", condition, value.to_owned(), denominator, cell % 3, cell / 3);
        }
    }
    let distinct = [(0, 0), (1, 0), (2, 0), (1, 1), (2, 1), (2, 2), (2, 4)];
    for (grain, set) in distinct {
        add("accounts", "distinct", "", "count(DISTINCT account_id)".to_owned(), "", grain, set);
    }
    add("unresolved_accounts", "distinct", "NOT resolved", "count(DISTINCT account_id)".to_owned(), "", 2, 0);
    for (at, grain, set) in [(0.95, 2, 1), (0.5, 2, 2), (0.95, 1, 0), (0.9, 0, 0)] {
        let value = format!("percentile_cont({at}) WITHIN GROUP (ORDER BY handle_seconds)");
        add(&format!("handle_time_p{}", at * 100.0), "percentile", "", value, "", grain, set);
    }
    all
}

impl Definition {
    fn yaml(&self) -> String {
        let mut yaml = format!("---\nkpi: {}\nfrom: interactions\n", self.name);
        if !self.condition.is_empty() {
            let _ = writeln!(yaml, "where: {}", self.condition);
        }
        let ratio = if self.denominator.is_empty() { String::new() } else { format!(" / {}", self.denominator) };
        let _ = writeln!(yaml, "value: {}{ratio}\ngrains: [{}]", self.value, self.grain);
        if !self.dimensions.is_empty() {
            let names = self.dimensions.join(", ");
            let _ = writeln!(yaml, "by: [[{names}]]\nrequired_dimensions: [{names}]");
        }
        yaml
    }

    /// As one query, for DuckDB and DataFusion alike.
    fn sql(&self) -> String {
        let value = match self.denominator {
            "" => self.value.clone(),
            denominator => format!("CAST({} AS DOUBLE) / CAST({denominator} AS DOUBLE)", self.value),
        };
        let condition = if self.condition.is_empty() { String::new() } else { format!(" WHERE {}", self.condition) };
        let dimensions: String = self.dimensions.iter().map(|name| format!(", {name}")).collect();
        let groups: Vec<String> = (1..=self.dimensions.len() + 1).map(|index| index.to_string()).collect();
        format!(
            "SELECT date_trunc('{}', ts) AS period_start{dimensions}, {value} AS value FROM interactions{condition} GROUP BY {}",
            self.grain,
            groups.join(", ")
        )
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [mode] = arguments.as_slice()
        && let "datafusion" | "decode" = mode.as_str()
    {
        return datafusion(mode);
    }
    let numbers: Vec<usize> = arguments.iter().filter_map(|argument| argument.replace('_', "").parse().ok()).collect();
    let rows = numbers.first().copied().unwrap_or(30_000_000);
    let rounds = numbers.get(1).copied().unwrap_or(3).max(1);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("target/bench/interactions-{rows}"));
    make_project(&folder, rows);

    let run = |arguments: &[&str]| kpi(&folder, &[&["run", "--quiet"], arguments].concat());
    let here = |mode: &str| {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.arg(mode).current_dir(&folder);
        command
    };
    let mut programs = vec![
        Program::new("kpi run", run(&[]), &folder, &["out"]),
        Program::new("kpi run, nothing changed", run(&[]), &folder, &[]),
        Program::new("kpi run, one file of 36 changed", run(&[]), &folder, &[])
            .prepared(|folder| touch(&part(&folder.join("data"), 17))),
        Program::new("kpi run, last file changed", run(&[]), &folder, &[])
            .prepared(|folder| touch(&part(&folder.join("data"), FILES - 1))),
        Program::new("kpi run, another day", run(&["--as-of", "2026-01-01"]), &folder, &[]),
        Program::new("DataFusion, decode only", here("decode"), &folder, &[]),
        Program::new("DataFusion, one query per KPI", here("datafusion"), &folder, &[]),
    ];
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/interactions.py");
    let peer = |mode: &str| {
        let mut command = python();
        command.arg(&script).arg(mode).current_dir(&folder);
        command
    };
    let has_duckdb = run_quietly(python().args(["-c", "import duckdb"]));
    if has_duckdb {
        programs.push(Program::new("DuckDB, decode only", peer("decode"), &folder, &[]));
        programs.push(Program::new("DuckDB, fused by hand", peer("fused"), &folder, &[]));
        programs.push(Program::new("DuckDB, one query per KPI", peer("alone"), &folder, &[]));
    }
    if run_quietly(python().args(["-c", "import polars"])) {
        programs.push(Program::new("Polars, collect_all", peer("polars"), &folder, &[]));
    }
    println!("{rows} interactions, {} KPIs, {rounds} rounds after one to warm up", workload().len());
    in_turns(&mut programs, rounds);
    print!("{}", table(&programs, Some(rows)));
    if has_duckdb {
        let output = peer("compare").output().expect("python ran before");
        print!("{}", String::from_utf8_lossy(&output.stdout));
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "the values differ");
    }
}

/// Each KPI as a query of its own, or one over all columns that does next to nothing with them.
fn datafusion(mode: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let context = SessionContext::new();
        let options = ParquetReadOptions::default();
        context.register_parquet("interactions", "data/interactions", options).await.expect("the data is there");
        let decode = "SELECT count(*), max(ts), sum(account_id), max(channel), max(region), max(product), \
                      sum(handle_seconds), sum(amount), count(*) FILTER (WHERE resolved) FROM interactions";
        let queries = match mode {
            "decode" => vec![decode.to_owned()],
            _ => workload().iter().map(Definition::sql).collect(),
        };
        for query in queries {
            let rows = context.sql(&query).await.expect("a valid query").collect().await.expect("rows");
            assert!(!rows.is_empty());
        }
    });
}

/// Writes the definitions anew, and the data if it is not there.
fn make_project(folder: &Path, rows: usize) {
    fs::create_dir_all(folder.join("kpis")).expect("the folder of the benchmark can be made");
    let mut definitions = String::from(
        "project: bench\ndata: ../data\noutput: ../out\n---\ntable: interactions\nsource: interactions\ntime: ts\n",
    );
    workload().iter().for_each(|definition| definitions.push_str(&definition.yaml()));
    fs::write(folder.join("kpis/bench.yaml"), definitions).expect("definitions can be written");
    let described: Vec<String> = workload()
        .iter()
        .map(|it| {
            format!(
                "{{\"name\": {:?}, \"kind\": {:?}, \"where\": {:?}, \"value\": {:?}, \"denominator\": {:?}, \"grain\": {:?}, \
                 \"by\": {:?}, \"sql\": {:?}}}",
                it.name, it.kind, it.condition, it.value, it.denominator, it.grain, it.dimensions, it.sql()
            )
        })
        .collect();
    let described = format!("[{}]\n", described.join(",\n"));
    fs::write(folder.join("workload.json"), described).expect("the workload can be written");

    let done = folder.join("data/done");
    if !done.exists() {
        println!("making {rows} interactions in {}", folder.display());
        let _ = fs::remove_dir_all(folder.join("data"));
        fs::create_dir_all(folder.join("data/interactions")).expect("the folder of the data can be made");
        for file in 0..FILES {
            make_part(&folder.join("data"), rows, file, FILES);
        }
        fs::write(done, "").expect("the mark can be written");
    }
}
