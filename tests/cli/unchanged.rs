//! What has not changed is not computed again, and everything that may have is.

use std::fs;

use super::Project;

/// One run after each change of a kind: what is computed is what may have another value, and nothing else.
#[test]
fn only_what_may_have_changed_is_computed() {
    let mut project = Project::shop();
    let run = ["run", "--as-of", "2025-04-30"];
    project.kpi(&["plan", "--as-of", "2025-04-30"], 0);
    project.kpi(&run, 0);
    let first = project.published();
    project.kpi(&["plan", "--as-of", "2025-04-30"], 0);
    project.kpi(&run, 0);
    assert_eq!(project.published(), first);
    // Other words about a KPI are no other values, and are shown.
    project.replace("kpis/sales/orders.yaml", "label: Revenue\n", "label: Turnover\n");
    project.append("kpis/service/cases.yaml", "description: Whatever somebody asked us.\n");
    project.kpi(&["plan", "--as-of", "2025-04-30"], 0);
    project.kpi(&run, 0);
    // A file of one table.
    project.append("data/cases.csv", "5,2025-04-01\n");
    project.kpi(&["plan", "--as-of", "2025-04-30", "--json"], 0);
    project.kpi(&run, 0);
    // One definition, and what is made of it.
    project.replace("kpis/sales/orders.yaml", "value: sum(amount)", "value: sum(amount) + 0");
    project.kpi(&run, 0);
    // A test that values must pass.
    project.append("kpis/service/cases.yaml", "tests:\n  - assert: value < 100\n");
    project.kpi(&run, 0);
    // Another day.
    project.kpi(&["run", "--as-of", "2025-05-01"], 0);
    project.kpi(&["run", "--as-of", "2025-05-01", "cases", "--json"], 0);
    project.kpi(&["run", "--as-of", "2025-05-01", "--force"], 0);
    project.expect("unchanged");
}

#[test]
fn results_that_somebody_deleted_are_computed_again() {
    let mut project = Project::published_shop();
    let before = project.published();
    fs::remove_dir_all(project.path("out/data/revenue")).unwrap();
    fs::remove_file(project.path("out/published/cases.parquet")).unwrap();
    project.kpi(&["plan"], 0);
    project.kpi(&["run"], 0);
    assert_eq!(project.published(), before);
    project.expect("unchanged_deleted");
}

/// A KPI that could not be published last time is tried again each time.
#[test]
fn what_failed_is_tried_again() {
    let mut project = Project::published_shop();
    project.append("data/orders.csv", "7,2025-04-30,shop,much\n");
    project.kpi(&["run"], 6);
    project.kpi(&["run"], 6);
    project.replace("data/orders.csv", "7,2025-04-30,shop,much\n", "7,2025-04-30,shop,7\n");
    project.kpi(&["run"], 0);
    project.expect("unchanged_failed");
}

/// A KPI that is no longer defined goes, although nothing is left to compute.
#[test]
fn what_is_no_longer_defined_is_taken_away() {
    let mut project = Project::published_shop();
    let definitions = fs::read_to_string(project.path("kpis/sales/orders.yaml")).unwrap();
    let (others, _) = definitions.rsplit_once("---\nkpi: growth").unwrap();
    project.write("kpis/sales/orders.yaml", others);
    project.kpi(&["run"], 0);
    let names: Vec<String> = project.published().into_keys().collect();
    assert_eq!(names, ["cases.parquet", "kpi_values.parquet", "revenue.parquet", "web_share.parquet"]);
    project.kpi(&["run"], 0);
    project.expect("unchanged_removed");
}
