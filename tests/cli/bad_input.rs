//! What goes wrong at real companies: each mistake gets a message that names the thing and the cure, the documented exit
//! code, and never touches what was published before.

use std::fs;
use std::process::Command;

use super::Project;

/// Publishes the shop, spoils it, and runs again: nothing may change in `published/`.
fn spoiled(name: &str, exit_codes: (i32, i32), spoil: impl FnOnce(&Project)) {
    let mut project = Project::published_shop();
    let before = project.published();
    spoil(&project);
    project.kpi(&["check"], exit_codes.0);
    project.kpi(&["run"], exit_codes.1);
    let after = project.published();
    if exit_codes.1 == 6 {
        // What does not read the broken column may go on.
        for kpi in ["revenue.parquet", "growth.parquet"] {
            assert!(after[kpi] == before[kpi], "`{kpi}` changed");
        }
    } else {
        assert!(after == before, "`published/` changed");
    }
    project.expect(name);
}

#[test]
fn broken_yaml() {
    spoiled("broken_yaml", (2, 2), |shop| shop.replace("kpis/sales/orders.yaml", "by: [channel]", "by: [channel"));
}

#[test]
fn unknown_keys() {
    spoiled("unknown_keys", (2, 2), |shop| shop.replace("kpis/sales/orders.yaml", "better:", "beter:"));
}

#[test]
fn duplicate_names() {
    spoiled("duplicate_names", (2, 2), |shop| {
        shop.append("kpis/service/cases.yaml", "---\nkpi: revenue\nfrom: cases\nvalue: count(*)\n");
    });
}

#[test]
fn cycle() {
    spoiled("cycle", (2, 2), |shop| {
        shop.write("kpis/a.yaml", "kpi: a\nvalue: b + 1\n---\nkpi: b\nvalue: c + 1\n---\nkpi: c\nvalue: a + 1\n");
    });
}

#[test]
fn missing_table() {
    spoiled("missing_table", (2, 2), |shop| {
        shop.replace("kpis/service/cases.yaml", "from: cases", "from: casse");
    });
}

#[test]
fn missing_column() {
    spoiled("missing_column", (2, 2), |shop| {
        shop.replace("kpis/sales/orders.yaml", "sum(amount)", "sum(amont)");
    });
}

#[test]
fn wrong_type() {
    spoiled("wrong_type", (2, 2), |shop| {
        shop.replace("kpis/sales/orders.yaml", "sum(amount)", "sum(channel)");
        shop.replace("kpis/service/cases.yaml", "time: opened_on", "time: case_id");
    });
}

#[test]
fn no_aggregate() {
    spoiled("no_aggregate", (2, 2), |shop| {
        shop.replace("kpis/sales/orders.yaml", "value: sum(amount)", "value: amount");
    });
}

#[test]
fn garbage_parquet() {
    spoiled("garbage_parquet", (2, 6), |shop| {
        shop.replace("kpis/sales/orders.yaml", "orders.csv", "orders.parquet");
        shop.write("data/orders.parquet", "this is no Parquet file, whatever its name says");
    });
}

/// The beginning and the footer are right, the pages between are not.
#[test]
fn damaged_parquet() {
    let mut project = Project::published_shop();
    project.kpi(&["show", "revenue", "--format", "parquet", "-o", "data/orders.parquet"], 0);
    project.replace("kpis/sales/orders.yaml", "orders.csv", "orders.parquet");
    project.replace("kpis/sales/orders.yaml", "primary_key: order_id\n", "");
    project.replace(
        "kpis/sales/orders.yaml",
        "ordered_on: {type: date}\n  amount: {type: \"decimal(12,2)\"}",
        "ordered_on: {from: period_start}\n  amount: {from: value}\n  channel: {from: kpi}",
    );
    project.kpi(&["run", "--as-of", "2025-04-30"], 0);
    let before = project.published();
    let mut bytes = fs::read(project.path("data/orders.parquet")).unwrap();
    bytes[4..400].fill(0xff);
    project.write("data/orders.parquet", bytes);
    project.kpi(&["run", "--as-of", "2025-04-30"], 6);
    assert!(project.published()["revenue.parquet"] == before["revenue.parquet"]);
    project.kpi(&["show", "revenue"], 1);
    project.expect("damaged_parquet");
}

#[test]
fn csv_with_a_short_row() {
    spoiled("csv_short_row", (2, 6), |shop| shop.append("data/orders.csv", "7,2025-04-03\n8,2025-04-03,web,5\n"));
}

#[test]
fn csv_with_a_value_that_is_no_number() {
    spoiled("csv_no_number", (0, 6), |shop| shop.append("data/orders.csv", "7,2025-04-03,web,\"1,200 EUR\"\n"));
}

#[test]
fn csv_with_a_number_that_is_too_large() {
    spoiled("csv_large_number", (0, 6), |shop| shop.append("data/orders.csv", "7,2025-04-03,web,12345678901234.00\n"));
}

#[test]
fn csv_in_another_encoding() {
    spoiled("csv_no_text", (0, 6), |shop| {
        let before = fs::read(shop.path("data/orders.csv")).unwrap();
        shop.write("data/orders.csv", [before, b"7,2025-04-03,caf\xe9,5\n".to_vec()].concat());
    });
}

/// Whoever opens a pipe waits until somebody writes into it.
#[cfg(unix)]
#[test]
fn a_pipe_among_the_data() {
    spoiled("pipe", (2, 6), |shop| {
        fs::remove_file(shop.path("data/orders.csv")).unwrap();
        let made = std::process::Command::new("mkfifo").arg(shop.path("data/orders.csv")).status().unwrap();
        assert!(made.success());
    });
}

#[test]
fn csv_with_a_value_that_is_no_date() {
    spoiled("csv_no_date", (0, 6), |shop| shop.append("data/orders.csv", "7,31/04/2025,web,5\n"));
}

/// A column without a type is text as soon as one of its values is no number, however far down.
#[test]
fn csv_without_a_type() {
    let mut project = Project::shop();
    project.replace("kpis/sales/orders.yaml", "  amount: {type: \"decimal(12,2)\"}\n", "");
    let rows: String = (7..3000).map(|id| format!("{id},2025-04-03,web,5\n")).collect();
    project.append("data/orders.csv", &rows);
    project.append("data/orders.csv", "3000,2025-04-03,web,five\n");
    project.kpi(&["run"], 2);
    project.expect("csv_without_a_type");
}

#[test]
fn csv_without_the_column() {
    spoiled("csv_other_header", (2, 2), |shop| shop.replace("data/orders.csv", "amount", "total"));
}

#[test]
fn empty_file() {
    spoiled("empty_file", (2, 6), |shop| shop.write("data/cases.csv", ""));
}

#[test]
fn files_with_other_schemas() {
    let mut project = Project::published_shop();
    project.write(
        "kpis/numbers.yaml",
        "table: numbers\nsource: numbers/*.parquet\ntime: period_start\n---\n\
         kpi: numbers\nfrom: numbers\nvalue: sum(value)\n",
    );
    fs::create_dir_all(project.path("data/numbers")).unwrap();
    project.kpi(&["show", "revenue", "-o", "data/numbers/1.parquet"], 0);
    project.kpi(&["show", "web_share", "-o", "data/numbers/2.parquet"], 0);
    let before = project.published();
    project.kpi(&["check"], 2);
    project.kpi(&["run"], 6);
    assert!(project.published() == before);
    project.expect("other_schema");
}

#[test]
fn empty_folder() {
    let mut project = Project::new(&[]);
    for command in ["run", "check", "ls"] {
        project.kpi(&[command], 2);
    }
    fs::create_dir_all(project.path("kpis")).unwrap();
    project.kpi(&["run"], 2);
    project.kpi(&["--project", "nowhere", "run"], 2);
    project.expect("empty_folder");
}

#[test]
fn no_data_at_all() {
    let mut project = Project::published_shop();
    let before = project.published();
    fs::remove_file(project.path("data/orders.csv")).unwrap();
    fs::remove_file(project.path("data/cases.csv")).unwrap();
    project.kpi(&["check"], 0);
    project.kpi(&["run"], 2);
    project.kpi(&["show", "revenue"], 2);
    assert_eq!(project.published(), before);
    project.expect("no_data");
}

#[test]
fn no_row_up_to_the_day() {
    let mut project = Project::published_shop();
    let before = project.published();
    project.kpi(&["run", "--as-of", "2020-01-01"], 1);
    assert_eq!(project.published(), before);
    project.expect("no_row");
}

#[cfg(unix)]
#[test]
fn file_without_permission() {
    use std::os::unix::fs::PermissionsExt;
    let project = Project::published_shop();
    let file = project.path("data/orders.csv");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(&file).is_ok() {
        eprintln!("skipped: this user may read every file");
        return;
    }
    let before = project.published();
    let output = project.command(&["run"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("orders.csv") && text.contains("ermission"), "{text}");
    assert!(matches!(output.status.code(), Some(2 | 4 | 6)), "{text}");
    assert_eq!(project.published()["revenue.parquet"], before["revenue.parquet"]);
}

#[test]
fn output_below_a_file() {
    spoiled("unwritable_output", (0, 4), |shop| shop.append("kpis/project.yaml", "output: ../data/orders.csv/out\n"));
}

/// A small disk of its own, gone with the value.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(path: std::path::PathBuf) -> Option<SmallDisk> {
        fs::create_dir_all(&path).unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(&path).output();
        mount.is_ok_and(|output| output.status.success()).then_some(SmallDisk(path))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
    }
}

#[test]
fn full_disk() {
    let mut project = Project::shop();
    let Some(_disk) = SmallDisk::mount(project.path("out")) else {
        eprintln!("skipped: this user may not mount a small disk");
        return;
    };
    project.kpi(&["run"], 0);
    let before = project.published();
    // As much as fits; that the last write fails is the point.
    let _ = fs::write(project.path("out/filler"), vec![0; 1 << 20]);
    project.append("data/orders.csv", "7,2025-04-03,web,5\n");
    project.kpi(&["run"], 4);
    assert!(project.published() == before);
    fs::remove_file(project.path("out/filler")).unwrap();
    project.kpi(&["run"], 0);
    project.expect("full_disk");
}
