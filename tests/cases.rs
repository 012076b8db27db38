//! Whole projects of a few rows that a person can add up on paper, from the files to the published values.
//!
//! Each folder of `tests/cases` is a project with the day from which it is looked at (`as_of`), every published row
//! (`expected.csv`), what became of KPIs that were not simply published (`report.txt`), and a `case.md` that says what is
//! asked, how the values come about by hand, and which wrong answer a usual mistake gives. Where the types of a KPI's own
//! table matter, `expected_<kpi>.csv` holds its rows. `KPI_UPDATE_EXPECTED=1` writes what came out, `KPI_CASE=name` runs
//! one case.
//!
//! Files whose name ends in `.plain` hold in readable form what the project reads compressed or as Parquet.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::{Days, NaiveDate, Utc};
use kpi::engine::Question;
use serde_json::Value;

use crate::support::{
    Published, Rows, block_on, copy_folder, open, read_published, run, ways_that_differ, write_files, write_parquet,
};

#[test]
fn every_case_gives_the_values_worked_out_by_hand() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.is_dir());
    cases.sort();
    if let Ok(wanted) = std::env::var("KPI_CASE") {
        cases.retain(|path| path.ends_with(&wanted));
    }
    assert!(!cases.is_empty());
    let mut failures = String::new();
    block_on(async {
        let checks: Vec<_> = cases
            .into_iter()
            .map(|case| (case.clone(), tokio::spawn(async move { check_case(&case).await })))
            .collect();
        for (case, check) in checks {
            for failure in check.await.unwrap() {
                writeln!(failures, "\n---- {}\n{failure}", case.file_name().unwrap().display()).unwrap();
            }
        }
    });
    assert!(failures.is_empty(), "work it out by hand, then accept with KPI_UPDATE_EXPECTED=1\n{failures}");
}

async fn check_case(case: &Path) -> Vec<String> {
    let project = tempfile::tempdir().unwrap();
    copy_folder(case, project.path());
    write_plain_files(&project.path().join("data")).await;
    let as_of: NaiveDate = fs::read_to_string(case.join("as_of")).unwrap().trim().parse().unwrap();

    let report = match run_program(project.path(), as_of) {
        Ok(report) => report,
        Err(said) => return vec![said],
    };
    let mut failures = Vec::new();
    let values = if report["version"].is_null() { String::new() } else { values_as_csv(project.path()) };
    failures.extend(compare(&case.join("expected.csv"), &values));
    failures.extend(compare(&case.join("report.txt"), &report_as_text(&report, project.path())));
    for name in tables_expected(case) {
        let rows = rows_as_csv(&Rows::of(&read_published(project.path(), &name)));
        failures.extend(compare(&case.join(format!("expected_{name}.csv")), &rows));
    }
    let engine = open(project.path(), Some(as_of)).await;
    let published =
        Published { names: kpis_that(&report, "published"), is_whole: kpis_that(&report, "failed").is_empty() };
    failures.extend(ways_that_differ(&engine, project.path(), &published, 1).await);
    // What a run will not publish is not shown either.
    for kpi in kpis_that(&report, "failed") {
        if engine.show(&Question { kpi: kpi.clone(), ..Question::default() }).await.is_ok() {
            failures.push(format!("`{kpi}` failed in the run and is shown all the same"));
        }
    }
    failures
}

/// What `kpi run --json` says.
fn run_program(project: &Path, as_of: NaiveDate) -> Result<Value, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kpi"));
    command.arg("--project").arg(project).args(["--as-of", &as_of.to_string(), "run", "--json"]);
    let output = command.output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout)
        .map_err(|_| format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))?;
    assert_eq!(output.status.code().map(i64::from), report["exit_code"].as_i64(), "the exit code in the report");
    Ok(report)
}

fn kpis_that(report: &Value, outcome: &str) -> BTreeSet<String> {
    let kpis = report["kpis"].as_array().unwrap().iter().filter(|kpi| kpi["outcome"] == outcome);
    kpis.map(|kpi| kpi["kpi"].as_str().unwrap().to_owned()).collect()
}

/// The whole published table in a form that people can write.
fn values_as_csv(project: &Path) -> String {
    let rows = Rows::of(&read_published(project, "kpi_values"));
    let mut shown: Vec<String> = [
        "kpi",
        "grain",
        "period_start",
        "breakdown",
        "members",
        "value",
        "numerator",
        "denominator",
        "n",
        "target",
        "status",
        "is_complete",
        "is_ripe",
    ]
    .map(str::to_owned)
    .to_vec();
    let indexes: Vec<usize> = shown.iter().map(|name| rows.index(name)).collect();
    let mut cells: Vec<Vec<String>> = Vec::new();
    for row in &rows.cells {
        let mut cell: Vec<String> = indexes.iter().map(|index| row[*index].clone()).collect();
        cell[4] = readable_members(&cell[4]);
        for number in [5, 6, 7, 9] {
            cell[number] = cell[number].parse::<f64>().map_or(String::new(), |value| value.to_string());
        }
        cells.push(cell);
    }
    to_csv(&mut shown, &cells)
}

/// `region=EU, channel=NULL` instead of a JSON object.
fn readable_members(json: &str) -> String {
    let members: serde_json::Map<String, Value> = serde_json::from_str(json).unwrap();
    let member = |(name, value): (&String, &Value)| match value {
        Value::String(text) => format!("{name}={text}"),
        _ => format!("{name}=NULL"),
    };
    members.iter().map(member).collect::<Vec<_>>().join("; ")
}

fn rows_as_csv(rows: &Rows) -> String {
    to_csv(&mut rows.names.clone(), &rows.cells)
}

fn to_csv(header: &mut [String], rows: &[Vec<String>]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header).unwrap();
    rows.iter().for_each(|row| writer.write_record(row).unwrap());
    String::from_utf8(writer.into_inner().unwrap()).unwrap()
}

/// What became of KPIs that were not published without remark; empty where there is nothing to say.
fn report_as_text(report: &Value, project: &Path) -> String {
    let mut text = String::new();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for kpi in report["kpis"].as_array().unwrap() {
        let name = word(&kpi["kpi"]);
        for warning in kpi["warnings"].as_array().into_iter().flatten() {
            writeln!(text, "{name}: warning: {}", word(warning)).unwrap();
        }
        if kpi["outcome"] == "withheld" {
            writeln!(text, "{name}: withheld: {}", word(&kpi["reason"])).unwrap();
        }
        if kpi["outcome"] == "failed" {
            writeln!(
                text,
                "{name}: failed: {}\n  hint: {}",
                word(&kpi["error"]["message"]),
                word(&kpi["error"]["hint"])
            )
            .unwrap();
        }
    }
    for skipped in report["skipped"].as_array().unwrap() {
        writeln!(text, "{}: skipped: {}", word(&skipped["kpi"]), word(&skipped["reason"])).unwrap();
    }
    if report["exit_code"] != 0 {
        writeln!(text, "exit code {}", report["exit_code"]).unwrap();
    }
    text.replace(&project.display().to_string(), "<project>")
}

fn compare(expected: &Path, found: &str) -> Option<String> {
    if std::env::var_os("KPI_UPDATE_EXPECTED").is_some_and(|value| value == "1") {
        match found.is_empty() {
            true => drop(fs::remove_file(expected)),
            false => fs::write(expected, found).unwrap(),
        }
        return None;
    }
    let wanted = fs::read_to_string(expected).unwrap_or_default();
    let (wanted_lines, found_lines): (Vec<&str>, Vec<&str>) = (wanted.lines().collect(), found.lines().collect());
    if wanted_lines == found_lines {
        return None;
    }
    let mut text = format!("{} differs:\n", expected.file_name().unwrap().display());
    wanted_lines.iter().filter(|line| !found_lines.contains(line)).for_each(|line| writeln!(text, "- {line}").unwrap());
    found_lines.iter().filter(|line| !wanted_lines.contains(line)).for_each(|line| writeln!(text, "+ {line}").unwrap());
    Some(text)
}

fn tables_expected(case: &Path) -> Vec<String> {
    let files = fs::read_dir(case).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    files.filter_map(|file| Some(file.strip_prefix("expected_")?.strip_suffix(".csv")?.to_owned())).collect()
}

async fn write_plain_files(folder: &Path) {
    let mut found: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|ending| ending == "plain") {
                found.insert(path.clone(), path.with_extension(""));
            }
        }
    }
    for (plain, target) in found {
        let text = fs::read(&plain).unwrap();
        match target.extension().unwrap().to_str().unwrap() {
            "gz" => {
                let file = fs::File::create(&target).unwrap();
                let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::default());
                encoder.write_all(&text).unwrap();
                encoder.finish().unwrap();
            }
            "zst" => fs::write(&target, zstd::encode_all(text.as_slice(), 0).unwrap()).unwrap(),
            "parquet" => write_parquet(&plain, &target).await,
            other => panic!("no way to write .{other}"),
        }
        fs::remove_file(plain).unwrap();
    }
}

/// Without `--as-of`, a day that is still running is never complete.
#[test]
fn today_is_open_and_yesterday_is_not() {
    let today = Utc::now().date_naive();
    let yesterday = today.checked_sub_days(Days::new(1)).unwrap();
    let project = tempfile::tempdir().unwrap();
    write_files(
        project.path(),
        &[
            ("kpis/project.yaml", "project: today\n"),
            (
                "kpis/visits.yaml",
                "table: visits\nsource: visits.csv\ntime: day\n---\nkpi: visits\nfrom: visits\nvalue: count(*)\ngrains: [day]\n",
            ),
            ("data/visits.csv", &format!("id,day\n1,{yesterday}\n2,{today}\n")),
        ],
    );
    block_on(async {
        let engine = open(project.path(), None).await;
        run(&engine).await.unwrap();
        let rows = Rows::of(&read_published(project.path(), "visits"));
        let column = rows.index("is_complete");
        let complete: Vec<&str> = rows.cells.iter().map(|row| row[column].as_str()).collect();
        assert_eq!(complete, ["true", "false"]);
    });
}
