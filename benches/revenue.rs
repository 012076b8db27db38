//! Ten KPIs over a table of orders, by `kpi run` and by DuckDB: time, memory, and whether the values are the same.
//!
//! ```sh
//! cargo bench --bench revenue                  # ten million orders, five rounds
//! cargo bench --bench revenue -- 200000 3      # fewer
//! ```
//!
//! Three programs take turns, each as a process of its own from start to end, with results written to Parquet files: `kpi
//! run`, which also audits, keeps versions and writes the long table; DuckDB with one statement for each KPI, as people
//! write them; and DuckDB with one scan for all of them, fused by hand as well as it can be. DuckDB is the Python package;
//! without it `kpi` runs alone. Processor time and memory need GNU time. The data is made once for each number of orders and
//! kept below `target/bench`.

mod measure;
mod peers;
mod random;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{
    Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::properties::WriterProperties;

use measure::{Program, in_turns, kpi, table, touch};
use peers::{python, run_quietly};
use random::Random;

/// A KPI in the words of both: its name, the rows that count, the value for `kpi`, and the value from the columns that the
/// fused query has already added up.
struct Definition {
    name: &'static str,
    condition: &'static str,
    value: &'static str,
    duckdb: &'static str,
    fused: &'static str,
}

const COMPLETED: &str = "status = 'completed'";

const DEFINITIONS: [Definition; 10] = [
    Definition {
        name: "revenue",
        condition: COMPLETED,
        value: "sum(net_amount)",
        duckdb: "sum(net_amount)",
        fused: "net",
    },
    Definition { name: "order_count", condition: COMPLETED, value: "count(*)", duckdb: "count(*)", fused: "completed" },
    Definition {
        name: "margin_rate",
        condition: COMPLETED,
        value: "sum(net_amount - cost_amount) / sum(net_amount)",
        duckdb: "sum(net_amount - cost_amount)::DOUBLE / nullif(sum(net_amount)::DOUBLE, 0)",
        fused: "margin::DOUBLE / nullif(net::DOUBLE, 0)",
    },
    Definition {
        name: "average_order_value",
        condition: COMPLETED,
        value: "avg(net_amount)",
        duckdb: "sum(net_amount)::DOUBLE / count(*)",
        fused: "net::DOUBLE / completed",
    },
    Definition {
        name: "cancel_rate",
        condition: "",
        value: "count(*) FILTER (WHERE status = 'cancelled') / count(*)",
        duckdb: "count(*) FILTER (WHERE status = 'cancelled')::DOUBLE / count(*)",
        fused: "cancelled::DOUBLE / orders",
    },
    Definition {
        name: "largest_order",
        condition: COMPLETED,
        value: "max(net_amount)",
        duckdb: "max(net_amount)",
        fused: "largest",
    },
    Definition {
        name: "smallest_order",
        condition: COMPLETED,
        value: "min(net_amount)",
        duckdb: "min(net_amount)",
        fused: "smallest",
    },
    Definition { name: "units", condition: COMPLETED, value: "sum(quantity)", duckdb: "sum(quantity)", fused: "units" },
    Definition {
        name: "units_per_order",
        condition: COMPLETED,
        value: "sum(quantity) / count(*)",
        duckdb: "sum(quantity)::DOUBLE / count(*)",
        fused: "units::DOUBLE / completed",
    },
    Definition {
        name: "average_rating",
        condition: "",
        value: "avg(rating)",
        duckdb: "sum(rating)::DOUBLE / nullif(count(rating), 0)",
        fused: "rating_sum::DOUBLE / nullif(rated, 0)",
    },
];

const GRAINS: [&str; 4] = ["day", "week", "month", "quarter"];

fn main() {
    let numbers: Vec<usize> =
        std::env::args().skip(1).filter_map(|argument| argument.replace('_', "").parse().ok()).collect();
    let rows = numbers.first().copied().unwrap_or(10_000_000);
    let rounds = numbers.get(1).copied().unwrap_or(5).max(1);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("target/bench/revenue-{rows}"));
    make_project(&folder, rows);

    let has_duckdb = run_quietly(python().args(["-c", "import duckdb"]));
    if !has_duckdb {
        println!("DuckDB is not there (`pip install duckdb`), so kpi runs alone");
    }
    let rewrite = |folder: &Path| touch(&folder.join("data/orders/part-11.parquet"));
    let mut programs = vec![
        Program::new("kpi run", kpi(&folder, &["run", "--quiet"]), &folder, &["out"]),
        Program::new("kpi run, one file of 12 changed", kpi(&folder, &["run", "--quiet"]), &folder, &[])
            .prepared(rewrite),
    ];
    if has_duckdb {
        let duckdb = |mode: &str| {
            let mut command = python();
            command.arg(folder.join("duck.py")).arg(mode).current_dir(&folder);
            command
        };
        programs.push(Program::new("DuckDB, one statement per KPI", duckdb("alone"), &folder, &["alone"]));
        programs.push(Program::new("DuckDB, one scan fused by hand", duckdb("fused"), &folder, &["fused"]));
    }
    println!("{rows} orders, {} KPIs, {rounds} rounds after one to warm up", DEFINITIONS.len());
    in_turns(&mut programs, rounds);
    print!("{}", table(&programs, Some(rows)));
    if has_duckdb {
        let output = python().arg("duck.py").arg("compare").current_dir(&folder).output().expect("python3 ran before");
        print!("{}", String::from_utf8_lossy(&output.stdout));
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "the values differ");
    }
}

/// Writes the definitions anew, and the data if it is not there.
fn make_project(folder: &Path, rows: usize) {
    fs::create_dir_all(folder.join("kpis")).expect("the folder of the benchmark can be made");
    let mut definitions = String::from(
        "project: bench\ndata: ../data\noutput: ../out\n---\ntable: orders\nsource: orders\ntime: ordered_at\n",
    );
    for Definition { name, condition, value, .. } in &DEFINITIONS {
        let condition = if condition.is_empty() { String::new() } else { format!("where: {condition}\n") };
        let _ = write!(
            definitions,
            "---\nkpi: {name}\nfrom: orders\n{condition}value: {value}\n\
             by: [region, channel, [region, channel]]\ngrains: [{}]\n",
            GRAINS.join(", ")
        );
    }
    fs::write(folder.join("kpis/bench.yaml"), definitions).expect("definitions can be written");
    fs::write(folder.join("duck.py"), duckdb_script()).expect("the script can be written");

    let done = folder.join("data/done");
    if !done.exists() {
        println!("making {rows} orders in {}", folder.display());
        let _ = fs::remove_dir_all(folder.join("data"));
        fs::create_dir_all(folder.join("data/orders")).expect("the folder of the data can be made");
        make_orders(&folder.join("data/orders"), rows);
        fs::write(done, "").expect("the mark can be written");
    }
}

/// Twelve files, one for each quarter of three years; the same at every call.
fn make_orders(folder: &Path, rows: usize) {
    const FILES: usize = 12;
    const FIRST: i64 = 1_672_531_200; // 2023-01-01
    const LAST: i64 = 1_767_225_600; // 2026-01-01
    const BATCH: usize = 100_000;
    let schema = Arc::new(Schema::new(vec![
        Field::new("order_id", DataType::Int64, false),
        // Without a zone: kpi reads it as UTC, and DuckDB needs no extension for zones.
        Field::new("ordered_at", DataType::Timestamp(TimeUnit::Microsecond, None), false),
        Field::new("region", DataType::Utf8, false),
        Field::new("channel", DataType::Utf8, true),
        Field::new("status", DataType::Utf8, false),
        Field::new("net_amount", DataType::Decimal128(12, 2), false),
        Field::new("cost_amount", DataType::Decimal128(12, 2), false),
        Field::new("quantity", DataType::Int32, false),
        Field::new("rating", DataType::Int32, true),
    ]));
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(Default::default()))
        .set_max_row_group_row_count(Some(250_000))
        .build();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for file in 0..FILES {
        let (first, behind) = (rows * file / FILES, rows * (file + 1) / FILES);
        let path: PathBuf = folder.join(format!("part-{file:02}.parquet"));
        let created = File::create(&path).expect("data can be written");
        let mut writer =
            ArrowWriter::try_new(created, schema.clone(), Some(properties.clone())).expect("a valid schema");
        for start in (first..behind).step_by(BATCH) {
            let ids: Vec<usize> = (start..behind.min(start + BATCH)).collect();
            // Orders come in time, with some disorder within the day.
            let time = |id: usize, random: &mut Random| {
                let seconds = FIRST + ((LAST - FIRST - 86_400) as f64 * id as f64 / rows as f64) as i64;
                seconds * 1_000_000 + (random.below(86_400_000_000) as i64)
            };
            let times: Vec<i64> = ids.iter().map(|id| time(*id, &mut random)).collect();
            let regions: Vec<String> = ids.iter().map(|_| format!("Region {}", random.below(8))).collect();
            let channels = ["web", "phone", "partner", "store", "app"];
            let channels: Vec<Option<&str>> =
                ids.iter().map(|_| channels.get(random.below(6) as usize).copied()).collect();
            let statuses = ["completed", "completed", "completed", "completed", "completed", "open", "cancelled"];
            let statuses: Vec<&str> = ids.iter().map(|_| statuses[random.below(7) as usize]).collect();
            let nets: Vec<i128> = ids.iter().map(|_| i128::from(100 + random.below(200_000))).collect();
            let costs: Vec<i128> = nets.iter().map(|net| net * i128::from(40 + random.below(40)) / 100).collect();
            let quantities: Vec<i32> = ids.iter().map(|_| 1 + random.below(9) as i32).collect();
            let ratings: Vec<Option<i32>> =
                ids.iter().map(|_| Some(random.below(10) as i32).filter(|rating| (1..=5).contains(rating))).collect();
            let decimals = |values: Vec<i128>| {
                Decimal128Array::from(values).with_precision_and_scale(12, 2).expect("12 digits are enough")
            };
            let batch = RecordBatch::try_new(
                schema.clone(),
                vec![
                    Arc::new(Int64Array::from_iter_values(ids.iter().map(|id| *id as i64))),
                    Arc::new(TimestampMicrosecondArray::from(times)),
                    Arc::new(StringArray::from(regions)),
                    Arc::new(StringArray::from(channels)),
                    Arc::new(StringArray::from(statuses)),
                    Arc::new(decimals(nets)),
                    Arc::new(decimals(costs)),
                    Arc::new(Int32Array::from(quantities)),
                    Arc::new(Int32Array::from(ratings)),
                ],
            );
            writer.write(&batch.expect("columns of one length")).expect("data can be written");
        }
        writer.close().expect("data can be written");
    }
}

/// What DuckDB does, as a Python program with three modes.
fn duckdb_script() -> String {
    let sets =
        |period: &str| format!("({period}), ({period}, region), ({period}, channel), ({period}, region, channel)");
    let breakdown = "CASE WHEN grouping(region) = 0 AND grouping(channel) = 0 THEN 'region, channel' \
                     WHEN grouping(region) = 0 THEN 'region' WHEN grouping(channel) = 0 THEN 'channel' \
                     ELSE 'overall' END AS breakdown";
    let mut alone = Vec::new();
    let mut fused = Vec::new();
    for Definition { name, condition, duckdb, fused: from_fused, .. } in &DEFINITIONS {
        let condition = if condition.is_empty() { String::new() } else { format!("WHERE {condition}") };
        let grains = GRAINS.map(|grain| {
            format!(
                "SELECT '{grain}' AS grain, period_start, {breakdown}, region, channel, {duckdb} AS value \
                 FROM (SELECT *, date_trunc('{grain}', ordered_at)::DATE AS period_start FROM orders {condition}) \
                 GROUP BY GROUPING SETS ({})",
                sets("period_start")
            )
        });
        alone.push(format!("{name:?}: {:?}", grains.join(" UNION ALL ")));
        let observed = if condition.is_empty() { "orders" } else { "completed" };
        let query = format!(
            "SELECT grain, period_start, breakdown, region, channel, {from_fused} AS value FROM rolled WHERE {observed} > 0"
        );
        fused.push(format!("{name:?}: {query:?}"));
    }
    let grain = GRAINS.map(|grain| format!("WHEN grouping({grain}) = 0 THEN '{grain}'")).join(" ");
    let scan = format!(
        "CREATE TEMP TABLE rolled AS WITH base AS MATERIALIZED ( \
         SELECT ordered_at::DATE AS day, region, channel, count(*) AS orders, \
         count(*) FILTER (WHERE {COMPLETED}) AS completed, \
         count(*) FILTER (WHERE status = 'cancelled') AS cancelled, \
         sum(net_amount) FILTER (WHERE {COMPLETED}) AS net, \
         sum(net_amount - cost_amount) FILTER (WHERE {COMPLETED}) AS margin, \
         max(net_amount) FILTER (WHERE {COMPLETED}) AS largest, \
         min(net_amount) FILTER (WHERE {COMPLETED}) AS smallest, \
         sum(quantity) FILTER (WHERE {COMPLETED}) AS units, \
         sum(rating) AS rating_sum, count(rating) AS rated \
         FROM orders GROUP BY ALL) \
         SELECT CASE {grain} END AS grain, coalesce({}) AS period_start, {breakdown}, region, channel, \
         sum(orders) AS orders, sum(completed) AS completed, sum(cancelled) AS cancelled, sum(net) AS net, \
         sum(margin) AS margin, max(largest) AS largest, min(smallest) AS smallest, sum(units) AS units, \
         sum(rating_sum) AS rating_sum, sum(rated) AS rated \
         FROM (SELECT *, {} FROM base) GROUP BY GROUPING SETS ({})",
        GRAINS.join(", "),
        GRAINS[1..]
            .iter()
            .map(|grain| format!("date_trunc('{grain}', day)::DATE AS {grain}"))
            .collect::<Vec<_>>()
            .join(", "),
        GRAINS.map(sets).join(", ")
    );
    format!(
        r#"import os, sys, duckdb

ALONE = {{{alone}}}
FUSED = {{{fused}}}
SCAN = {scan:?}

def write(queries, folder):
    os.makedirs(folder, exist_ok=True)
    for name, query in queries.items():
        duckdb.execute(f"COPY ({{query}}) TO '{{folder}}/{{name}}.parquet' (FORMAT parquet)")

def compare(folder):
    wrong = 0
    for name in ALONE:
        rows, missing, different = duckdb.execute(f"""
            SELECT count(*), count(*) FILTER (WHERE ours.grain IS NULL OR theirs.grain IS NULL),
                   count(*) FILTER (WHERE abs(ours.value::DOUBLE - theirs.value::DOUBLE)
                                    > 1e-9 * greatest(1, abs(theirs.value::DOUBLE))
                                    OR (ours.value IS NULL) <> (theirs.value IS NULL))
            FROM 'out/published/{{name}}.parquet' ours
            FULL JOIN '{{folder}}/{{name}}.parquet' theirs
              ON ours.grain = theirs.grain AND ours.period_start = theirs.period_start
             AND ours.breakdown = theirs.breakdown
             AND ours.region IS NOT DISTINCT FROM theirs.region
             AND ours.channel IS NOT DISTINCT FROM theirs.channel""").fetchone()
        wrong += missing + different
        if missing or different:
            print(f"{{folder}}: {{name}}: of {{rows}} values {{missing}} are on one side only, {{different}} differ")
    return wrong

duckdb.execute("CREATE VIEW orders AS FROM 'data/orders/*.parquet'")
if sys.argv[1] == "alone":
    write(ALONE, "alone")
elif sys.argv[1] == "fused":
    duckdb.execute(SCAN)
    write(FUSED, "fused")
else:
    wrong = compare("alone") + compare("fused")
    print(f"DuckDB {{duckdb.__version__}}: " + ("all values agree" if wrong == 0 else f"{{wrong}} values differ"))
    sys.exit(wrong > 0)
"#,
        alone = alone.join(",\n"),
        fused = fused.join(",\n"),
    )
}
