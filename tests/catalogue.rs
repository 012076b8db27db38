//! The bundled catalogue through the real binary: over the hand-computed micro data, over the bundled data, and projects
//! over real data sets where those are at hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Rows, copy_folder, read_published};

/// Every value worked out by hand comes out, and none of the known wrong answers does.
#[test]
fn the_micro_data_gives_the_values_worked_out_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path();
    write_micro(project);
    let expected = read_expected(&root().join("tests/projects/micro/expected.csv"));
    for as_of in BTreeSet::from_iter(expected.iter().map(|row| row.as_of.as_str())) {
        let day = if as_of.is_empty() { "2025-04-30" } else { as_of };
        let rows: Vec<&Expected> = expected.iter().filter(|row| row.as_of == as_of).collect();
        run_and_compare(project, &["run", "--as-of", day], &rows);
    }
}

/// A business without contracts says who is a customer by its orders, with a setting and nothing else.
#[test]
fn customers_are_those_who_ordered_where_the_settings_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path();
    write_micro(project);
    let expected = read_expected(&root().join("tests/projects/micro/expected_by_orders.csv"));
    let settings = ["--set", "customer_method=orders", "--set", "customer_days=60"];
    let arguments: Vec<&str> = ["run", "--as-of", "2025-04-30"].into_iter().chain(settings).collect();
    run_and_compare(project, &arguments, &expected.iter().collect::<Vec<_>>());
}

fn run_and_compare(project: &Path, arguments: &[&str], expected: &[&Expected]) {
    let kpis = BTreeSet::from_iter(expected.iter().map(|row| row.kpi.as_str()));
    let arguments: Vec<&str> = arguments.iter().copied().chain(kpis).collect();
    let (code, output) = kpi(project, &arguments);
    assert_eq!(code, Some(0), "{output}");
    assert_eq!(compare(project, expected), expected.len());
}

/// The micro data with its own tables, and with the KPIs and queries of the bundled catalogue.
pub fn write_micro(project: &Path) {
    copy_folder(&root().join("tests/projects/micro/kpis"), &project.join("kpis"));
    copy_folder(&root().join("tests/projects/micro/data"), &project.join("data"));
    for area in areas() {
        let copy = project.join("kpis").join(area.file_name().unwrap());
        copy_folder(&area, &copy);
        leave_out_tests(&copy);
    }
    for query in queries() {
        fs::copy(&query, project.join("kpis/tables").join(query.file_name().unwrap())).unwrap();
    }
}

/// What the README promises: the bundled project runs as it is, and everything in it has a value.
#[test]
fn the_bundled_project_computes_every_kpi() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path();
    copy_folder(&root().join("kpis"), &project.join("kpis"));
    std::os::unix::fs::symlink(root().join("data"), project.join("data")).unwrap();
    let (code, output) = kpi(project, &["check", "--as-of", "2025-12-31"]);
    assert_eq!(code, Some(0), "{output}");
    assert!(!output.contains("advice"), "the catalogue follows its own advice:\n{output}");
    // Only what needs few rows; the whole catalogue is computed by the README's first command.
    let (code, output) = kpi(project, &["run", "tag:sales", "tag:finance"]);
    assert_eq!(code, Some(0), "{output}");
    for name in ["close_rate", "total_revenue", "revenue_growth_rate"] {
        assert!(read_published(project, name).num_rows() > 100, "{name} has too few rows");
    }
}

#[test]
fn the_deals_of_maven_crm_agree_with_sql_by_hand() {
    real_data("maven_crm", "maven_crm", &[]);
}

#[test]
fn the_invoices_of_online_retail_agree_with_sql_by_hand() {
    // Half a million rows take long without optimization; the months are enough here.
    real_data("online_retail", "online_retail_ii", &["revenue", "active_customers"]);
}

fn real_data(project_name: &str, data_name: &str, select: &[&str]) {
    let data = root().join("../shared/data").join(data_name);
    if !data.is_dir() {
        eprintln!("skipped: there is no `{}`", data.display());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path();
    copy_folder(&root().join("tests/projects").join(project_name).join("kpis"), &project.join("kpis"));
    let file = project.join("kpis/project.yaml");
    let text = fs::read_to_string(&file).unwrap().replace("data: DATA", &format!("data: {}", data.display()));
    fs::write(&file, text).unwrap();
    let arguments: Vec<&str> = ["run"].into_iter().chain(select.iter().copied()).collect();
    let (code, output) = kpi(project, &arguments);
    assert_eq!(code, Some(0), "{output}");
    let expected = read_expected(&root().join("tests/projects").join(project_name).join("expected.csv"));
    let compared = compare(project, &expected.iter().collect::<Vec<_>>());
    assert!(compared > 20, "only {compared} values were compared");
}

/// Takes the `tests` out of the KPIs in a folder: they give rows as the bundled files have them.
fn leave_out_tests(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mut is_test = false;
        let text = fs::read_to_string(&path).unwrap();
        let kept = text.lines().filter(|line| {
            is_test = *line == "tests:" || (is_test && line.starts_with(' '));
            !is_test
        });
        fs::write(&path, kept.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    }
}

/// A row of `expected.csv`, as `tests/projects/README.md` tells it.
#[derive(serde::Deserialize)]
pub struct Expected {
    pub kpi: String,
    grain: String,
    period_start: String,
    pub breakdown: String,
    member: String,
    column: String,
    expected: String,
    is_wrong: bool,
    #[serde(default)]
    as_of: String,
    note: String,
}

pub fn read_expected(path: &Path) -> Vec<Expected> {
    csv::Reader::from_path(path).unwrap().deserialize().map(Result::unwrap).collect()
}

/// Compares published values with those expected, for the KPIs that were published; returns how many.
pub fn compare(project: &Path, expected: &[&Expected]) -> usize {
    let mut results: BTreeMap<&str, Option<Rows>> = BTreeMap::new();
    let (mut compared, mut differences) = (0, String::new());
    for row in expected {
        let Expected { kpi, grain, period_start, breakdown, member, column, expected, is_wrong, note, .. } = row;
        let rows = results.entry(kpi).or_insert_with(|| {
            let path = project.join("out/published").join(format!("{kpi}.parquet"));
            path.is_file().then(|| Rows::of(&read_published(project, kpi)))
        });
        let Some(rows) = rows else { continue };
        compared += 1;
        let found = find(rows, [grain, period_start, breakdown, member], column);
        let is_same = match (found.as_deref().unwrap_or_default(), expected.as_str()) {
            ("", "") => true,
            ("", _) | (_, "") => false,
            (found, expected) => {
                let (found, expected): (f64, f64) = (found.parse().unwrap(), expected.parse().unwrap());
                (found - expected).abs() <= 1e-6 * expected.abs().max(1e-3)
            }
        };
        if is_same == *is_wrong {
            let what = if *is_wrong { "the known wrong answer came out" } else { "expected" };
            differences += &format!(
                "{kpi} {grain} {period_start} {breakdown}={member} {column}: {found:?}, {what}: {expected} ({note})\n"
            );
        }
    }
    assert!(differences.is_empty(), "{differences}");
    compared
}

fn find(rows: &Rows, key: [&str; 4], column: &str) -> Option<String> {
    let [grain, period_start, breakdown, member] = key;
    let index = |name: &str| rows.names.iter().position(|known| known == name);
    let of_member = if breakdown == "overall" { None } else { Some(index(breakdown)?) };
    let wanted = [(index("grain")?, grain), (index("period_start")?, period_start), (index("breakdown")?, breakdown)];
    let column = index(column)?;
    let found = rows.cells.iter().find(|row| {
        wanted.iter().all(|(index, value)| row[*index] == *value) && of_member.is_none_or(|index| row[index] == member)
    });
    found.map(|row| row[column].clone())
}

pub fn kpi(project: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_kpi")).arg("--project").arg(project).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.code(), text.join("\n"))
}

/// The bundled tables that are queries over others.
fn queries() -> Vec<PathBuf> {
    let files = fs::read_dir(root().join("kpis/tables")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|ending| ending == "sql")).collect()
}

/// The folders of KPIs in the bundled catalogue.
fn areas() -> Vec<PathBuf> {
    let folders = fs::read_dir(root().join("kpis")).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = folders.filter(|path| path.is_dir() && !path.ends_with("tables")).collect();
    folders.sort();
    folders
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
