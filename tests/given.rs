//! Given rows are read as the files would be: what the cases of `tests/cases` publish from their files is what a test
//! expects that gives the same rows, with the files at hand and without any.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use kpi::engine::{Only, TestOptions};
use kpi::load;
use kpi::spec::{Document, TableSpec};
use serde_json::{Value, json};

use crate::support::{block_on, copy_folder, mistakes, open};

#[test]
fn given_rows_are_read_as_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    let mut failures = String::new();
    let mut tested = Vec::new();
    block_on(async {
        let mut checks = Vec::new();
        for case in cases {
            let name = case.file_name().unwrap().to_string_lossy().into_owned();
            // In a test everything up to its day is known; this case is about data that does not reach so far.
            let Some(given) = rows_of_files(&case).filter(|_| name != "coverage_and_freshness") else { continue };
            checks.push((name, tokio::spawn(async move { check_case(&case, &given).await })));
        }
        for (name, check) in checks {
            check.await.unwrap().iter().for_each(|failure| writeln!(failures, "---- {name} {failure}").unwrap());
            tested.push(name);
        }
    });
    assert!(failures.is_empty(), "{failures}");
    assert!(tested.len() > 12, "only {tested:?}");
}

async fn check_case(case: &Path, given: &BTreeMap<String, Value>) -> Vec<String> {
    let project = tempfile::tempdir().unwrap();
    copy_folder(case, project.path());
    write_tests(project.path(), given);
    let mut failures = Vec::new();
    for data in ["with", "without"] {
        if data == "without" {
            fs::remove_dir_all(project.path().join("data")).unwrap();
        }
        let failed = failed_tests(project.path()).await;
        failures.extend(failed.into_iter().map(|failure| format!("{data} data\n{failure}")));
    }
    failures
}

async fn failed_tests(project: &Path) -> Vec<String> {
    let engine = open(project, None).await;
    let said = mistakes(&engine);
    if !said.is_empty() {
        return vec![said];
    }
    let options = TestOptions { only: Some(Only::Given), ..TestOptions::default() };
    let report = engine.test(&options).await.unwrap();
    assert!(!report.outcomes.is_empty());
    let failed = report.outcomes.iter().filter(|outcome| outcome.has_failed());
    failed.map(|outcome| format!("{}\n{:?}", outcome.in_one_line(), outcome.verdict)).collect()
}

/// The rows of each table of a case, if all of them are plain CSV files and everything was published.
fn rows_of_files(case: &Path) -> Option<BTreeMap<String, Value>> {
    if case.join("report.txt").exists() || !case.join("expected.csv").exists() {
        return None;
    }
    let loaded = load::load(case).unwrap();
    // A KPI that is one query has its header in a comment, where this test writes nothing.
    let is_yaml = |document: &Document| matches!(document, Document::Kpi(kpi) if kpi.query.is_none());
    if !loaded.documents.iter().any(|document| is_yaml(&document.document)) {
        return None;
    }
    let mut given = BTreeMap::new();
    for document in &loaded.documents {
        match &document.document {
            Document::Table(table) if table.query.is_none() => {
                given.insert(table.table.value.clone(), rows_of(case, table)?);
            }
            Document::Project(_) | Document::Objective(_) | Document::Table(_) | Document::Kpi(_) => {}
        }
    }
    Some(given)
}

fn rows_of(case: &Path, table: &TableSpec) -> Option<Value> {
    let path = case.join("data").join(&table.source.as_ref()?.value);
    let files = match path.is_dir() {
        true => fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect(),
        false => vec![path],
    };
    let is_plain = |path: &PathBuf| path.is_file() && path.extension().is_some_and(|ending| ending == "csv");
    if !table.partitioned_by.is_empty() || !files.iter().all(is_plain) {
        return None;
    }
    let character = |text: Option<&String>, default: u8| text.map_or(default, |text| text.as_bytes()[0]);
    let csv = table.csv.as_ref();
    let delimiter = csv.and_then(|csv| csv.delimiter.as_ref()).map(|text| &text.value);
    let quote = csv.and_then(|csv| csv.quote.as_ref()).map(|text| &text.value);
    let mut rows = Vec::new();
    for file in files {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(character(delimiter, b','))
            .quote(character(quote, b'"'))
            .from_path(file)
            .unwrap();
        let header = reader.headers().unwrap().clone();
        for record in reader.records() {
            let record = record.unwrap();
            let cells = header.iter().zip(record.iter());
            let row = cells.map(|(name, text)| (name.trim_start_matches('\u{feff}').to_owned(), value(text)));
            rows.push(Value::Object(row.collect()));
        }
    }
    Some(rows.into())
}

/// A text as JSON, which is YAML as well; an empty one is no value.
fn value(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { json!(text) }
}

/// Writes below each KPI a test that gives all rows and expects all that was published.
fn write_tests(project: &Path, given: &BTreeMap<String, Value>) {
    let as_of = fs::read_to_string(project.join("as_of")).unwrap();
    let mut expected: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut reader = csv::Reader::from_path(project.join("expected.csv")).unwrap();
    let header = reader.headers().unwrap().clone();
    for record in reader.records() {
        let record = record.unwrap();
        let cell = |name: &str| record.get(header.iter().position(|known| known == name).unwrap()).unwrap();
        let mut row = json!({ "grain": cell("grain"), "period_start": cell("period_start") });
        for name in ["value", "numerator", "denominator", "n"] {
            row[name] = value(cell(name));
        }
        for member in cell("members").split("; ").filter(|member| !member.is_empty()) {
            let (name, member) = member.split_once('=').unwrap();
            row[name] = if member == "NULL" { Value::Null } else { json!(member) };
        }
        expected.entry(cell("kpi").to_owned()).or_default().push(row);
    }
    for entry in fs::read_dir(project.join("kpis")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "yaml") {
            continue;
        }
        let mut text = String::new();
        for document in fs::read_to_string(&path).unwrap().split("\n---\n") {
            let name = document.lines().find_map(|line| line.strip_prefix("kpi: "));
            text.push_str(document.trim_end());
            if let Some(rows) = name.and_then(|name| expected.get(name.trim())) {
                let test = json!([{ "given": given, "as_of": as_of.trim(), "expect": rows }]);
                write!(text, "\ntests: {test}").unwrap();
            }
            text.push_str("\n---\n");
        }
        fs::write(path, text.trim_end_matches("---\n")).unwrap();
    }
}
