//! What is kept of earlier runs: versions, what differs between them, going back, clearing away; and what unattended runs
//! leave for other programs.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use super::Project;
use super::signals::slow_project;

#[test]
fn versions_are_listed_compared_and_brought_back() {
    let mut project = Project::shop();
    project.kpi(&["history"], 0);
    project.kpi(&["retry"], 2);
    project.kpi(&["run", "--quiet", "--as-of", "2025-04-10"], 0);
    project.append("data/orders.csv", "7,2025-03-20,web,40\n8,2025-04-03,,\n");
    project.replace("kpis/service/cases.yaml", "count(*)", "count(case_id)");
    project.kpi(&["run", "--quiet", "--as-of", "2025-04-10"], 0);
    project.replace("kpis/sales/orders.yaml", "kpi: growth\n", "kpi: growth_of_revenue\n");
    project.kpi(&["run", "--quiet", "--as-of", "2025-04-10"], 0);
    project.transcript.clear();

    project.kpi(&["history"], 0);
    project.kpi(&["history", "revenue"], 0);
    project.kpi(&["history", "growth", "--limit", "1"], 0);
    project.kpi(&["history", "revenu"], 2);
    project.kpi(&["diff", "1", "2"], 0);
    project.kpi(&["diff", "1", "3", "revenue", "growth"], 0);
    project.kpi(&["diff", "2", "2"], 0);
    project.kpi(&["diff", "1", "9"], 2);
    project.kpi(&["diff", "1", "2", "revnue"], 2);
    project.kpi(&["rollback", "3"], 2);
    project.kpi(&["rollback", "1"], 0);
    project.kpi(&["history", "--limit", "2"], 0);
    project.kpi(&["run", "--quiet", "--as-of", "2025-04-10"], 0);
    project.kpi(&["diff", "3", "5"], 0);
    project.kpi(&["clean"], 0);
    project.kpi(&["clean", "--older-than", "1h"], 2);
    project.kpi(&["clean", "--keep", "0"], 2);
    project.expect("versions");
}

#[test]
fn differences_as_json_name_every_value() {
    let mut project = Project::published_shop();
    project.append("data/orders.csv", "7,2025-03-20,web,40\n");
    project.kpi(&["run", "--quiet"], 0);
    let found: Value = serde_json::from_str(&project.kpi(&["diff", "1", "2", "--json"], 0)).unwrap();
    let revenue = found["kpis"].as_array().unwrap().iter().find(|kpi| kpi["kpi"] == "revenue").unwrap();
    assert_eq!(revenue["reasons"][0], serde_json::json!({ "reason": "inputs", "tables": ["orders"] }));
    let march = &revenue["differences"].as_array().unwrap()[0];
    assert_eq!((march["before"].as_f64(), march["after"].as_f64()), (Some(300.0), Some(340.0)));
    assert_eq!(march["members"]["channel"], "web");
    let versions: Value = serde_json::from_str(&project.kpi(&["history", "--json"], 0)).unwrap();
    assert_eq!(versions["versions"][0]["written"], serde_json::json!(["growth", "revenue", "web_share"]));
}

/// A retry asks for what the last run could not publish, and for nothing else.
#[test]
fn a_retry_computes_what_was_left() {
    let mut project = Project::shop();
    project.append("kpis/service/cases.yaml", "tests:\n  - {assert: value < 2}\n");
    project.kpi(&["run", "--quiet"], 6);
    project.transcript.clear();
    project.replace("kpis/service/cases.yaml", "value < 2", "value < 20");
    project.kpi(&["retry"], 0);
    project.kpi(&["retry"], 0);
    project.expect("retry");
}

#[test]
fn a_log_for_programs_has_an_object_on_each_line() {
    let project = Project::shop();
    let output = project.command(&["run", "--log-format", "json"]).output().unwrap();
    let lines = |bytes: &[u8]| -> Vec<Value> {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    };
    let log = lines(&output.stderr);
    assert!(log.iter().all(|line| line["ts"].is_string() && line["level"] == "info"), "{log:?}");
    let events: Vec<&Value> = log.iter().map(|line| &line["event"]).filter(|event| event.is_object()).collect();
    assert_eq!((&events[0]["phase"], &events[0]["status"]), (&"run".into(), &"started".into()));
    assert!(events.iter().any(|event| event["phase"] == "stage" && event["kpi"] == "revenue"));
    let run = events[0]["run_id"].as_str().unwrap();
    assert!(log.iter().all(|line| line["run_id"] == run), "each line says whose it is");
    assert!(log.last().unwrap()["message"].as_str().unwrap().starts_with("published version 1"));

    let broken = Project::new(&[("kpis/project.yaml", "project: x\ntime_zone: Mars\n")]);
    let output = broken.command(&["run", "--log-format", "json"]).output().unwrap();
    let log = lines(&output.stderr);
    assert_eq!(log[0]["diagnostic"]["code"], "unknown-value");
    assert_eq!(log.last().unwrap()["exit_code"], 2);
}

#[test]
fn a_file_for_prometheus_says_how_the_last_run_ended() {
    let project = Project::shop();
    let metrics = || fs::read_to_string(project.path("kpi.prom")).unwrap();
    let value = |name: &str| -> f64 {
        let text = metrics();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let run = |code: i32| {
        let output = project.command(&["run", "--metrics", "kpi.prom", "--as-of", "2025-04-10"]).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(0);
    assert_eq!(value("kpi_run_exit_code{project=\"shop\"}"), 0.0);
    assert_eq!(value("kpi_run_kpis{project=\"shop\",status=\"published\"}"), 4.0);
    assert_eq!(value("kpi_value{project=\"shop\",kpi=\"revenue\",grain=\"month\"}"), 312.25);
    assert_eq!(
        value("kpi_period_timestamp_seconds{project=\"shop\",kpi=\"revenue\",grain=\"month\"}"),
        1_740_787_200.0
    );
    let first = value("kpi_last_success_timestamp_seconds");
    project.append("data/orders.csv", "7,not a day,web,40\n");
    run(6);
    assert_eq!(value("kpi_run_exit_code"), 6.0);
    assert_eq!(value("kpi_up_to_date{project=\"shop\",kpi=\"cases\"}"), 1.0);
    assert_eq!(value("kpi_up_to_date{project=\"shop\",kpi=\"revenue\"}"), 0.0);
    assert_eq!(value("kpi_last_success_timestamp_seconds"), first);
    assert!(!project.path("kpi.prom.tmp").exists());
    // Where nothing ran, what is published is still there, and no longer up to date.
    project.append("kpis/service/cases.yaml", "values: 1\n");
    run(2);
    assert_eq!(value("kpi_run_exit_code"), 2.0);
    assert_eq!(value("kpi_value{project=\"shop\",kpi=\"cases\",grain=\"month\"}"), 2.0);
    assert_eq!(value("kpi_up_to_date{project=\"shop\",kpi=\"cases\"}"), 0.0);
    assert_eq!(value("kpi_last_success_timestamp_seconds"), first);
    for no_file in ["data", "nowhere/kpi.prom", "/dev/null"] {
        let output = project.command(&["run", "--metrics", no_file]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{no_file}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
    for line in metrics().lines().filter(|line| !line.starts_with('#')) {
        assert!(line.split_once("} ").is_some_and(|(_, value)| value.parse::<f64>().is_ok()), "{line}");
    }
}

#[test]
fn a_run_ends_when_its_time_is_up() {
    let project = slow_project();
    let before = project.published();
    let started = std::time::Instant::now();
    let output = project.command(&["run", "slow", "--timeout", "2s"]).output().unwrap();
    let notes = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{notes}");
    assert!(notes.contains("the time of `--timeout` is up"), "{notes}");
    assert!(started.elapsed() < Duration::from_secs(60));
    assert!(project.published() == before);
}

#[test]
fn a_plan_is_done_exactly_or_not_at_all() {
    let mut project = Project::published_shop();
    project.append("data/orders.csv", "7,2025-04-03,web,5\n");
    let plan = project.command(&["plan", "--json", "--as-of", "2025-04-30", "revenue", "growth"]).output().unwrap();
    assert!(plan.status.success());
    project.write("plan.json", &plan.stdout);
    // Another day makes no difference, other data does.
    project.kpi(&["run", "--plan", "plan.json", "--as-of", "2025-05-31"], 2);
    project.kpi(&["run", "--plan", "plan.json", "revenue"], 2);
    project.append("data/cases.csv", "5,2025-04-30\n");
    project.kpi(&["run", "--plan", "plan.json"], 0);
    project.kpi(&["run", "--plan", "plan.json"], 2);
    project.kpi(&["history", "--limit", "1"], 0);

    let plan_again = |project: &Project| {
        let plan = project.command(&["plan", "--json", "--as-of", "2025-05-31"]).output().unwrap();
        project.write("plan.json", &plan.stdout);
    };
    plan_again(&project);
    project.append("data/orders.csv", "8,2025-05-03,web,5\n");
    project.kpi(&["run", "--plan", "plan.json"], 2);
    plan_again(&project);
    project.replace("kpis/sales/orders.yaml", "sum(amount)", "sum(amount) * 2");
    project.kpi(&["run", "--plan", "plan.json"], 2);
    plan_again(&project);
    project.replace("kpis/service/cases.yaml", "kpi: cases", "kpi: all_cases");
    project.kpi(&["run", "--plan", "plan.json"], 2);
    project.write("plan.json", "{}");
    project.kpi(&["run", "--plan", "plan.json"], 2);
    project.kpi(&["run", "--plan", "no_plan.json"], 2);
    project.expect("planned");
}

#[test]
fn days_that_are_asked_for_are_computed_again() {
    let mut project = Project::published_shop();
    project.kpi(&["plan", "--start", "2025-02-01", "--end", "2025-02-28", "revenue"], 0);
    project.kpi(&["run", "--start", "2025-02-01", "--end", "2025-02-28", "--quiet", "revenue"], 0);
    project.kpi(&["run", "--start", "2025-02-01", "--end", "2025-01-31"], 2);
    project.kpi(&["plan", "--start", "2025-03-31"], 0);
    // What has changed is computed as well, and everything is as from scratch.
    project.append("data/orders.csv", "7,2025-04-03,web,5\n");
    project.kpi(&["run", "--start", "2025-01-01", "--end", "2025-01-01"], 0);
    let in_part = project.published();
    project.kpi(&["run", "--force", "--quiet"], 0);
    assert!(project.published() == in_part);
    project.expect("asked_days");
}

#[test]
fn a_retry_asks_in_the_same_way() {
    let mut project = Project::published_shop();
    project.append("data/orders.csv", "7,2025-03-03,web,broken\n");
    project.kpi(&["run", "--force", "--as-of", "2025-03-31", "--quiet"], 6);
    project.replace("data/orders.csv", "7,2025-03-03,web,broken\n", "");
    project.kpi(&["retry"], 0);
    project.kpi(&["history", "--limit", "1"], 0);
    project.expect("retry_in_the_same_way");
}

#[test]
fn a_dry_run_shows_what_would_be_published() {
    let mut project = Project::shop();
    project.kpi(&["run", "--dry-run"], 0);
    project.kpi(&["history"], 0);
    project.kpi(&["run", "--quiet"], 0);
    let before = project.published();
    project.append("data/orders.csv", "7,2025-02-03,web,5\n");
    project.kpi(&["run", "--dry-run"], 0);
    let printed = project.command(&["run", "--dry-run", "--json", "revenue"]).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(
        (&report["version"], &report["kpis"][0]["outcome"]),
        (&serde_json::Value::Null, &"would_publish".into())
    );
    assert_eq!(report["dry_run"]["kpis"][0]["differences"].as_array().unwrap().len(), 4, "{report:#}");
    assert!(project.published() == before);
    // It leaves nothing to be done again, and nothing but its manifest.
    project.kpi(&["retry"], 0);
    let files = std::fs::read_dir(project.path("out/data/revenue")).unwrap().count();
    assert_eq!(files, 1);
    project.kpi(&["run", "--quiet"], 0);
    project.kpi(&["run", "--dry-run"], 0);
    project.expect("dry_run");
}

/// Another run is at work: one that does not wait says so, one that waits gives up in time, by itself or when it is told to.
#[cfg(unix)]
#[test]
fn a_run_waits_as_long_as_it_may() {
    let project = slow_project();
    let runs = || std::fs::read_dir(project.path("out/_kpi/runs")).map_or(0, |files| files.count());
    let before = runs();
    let mut slow = project.spawn(&["run", "slow"]);
    while runs() == before {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let say = |arguments: &[&str], code: i32| {
        let output = project.command(arguments).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        stderr
    };
    assert!(say(&["run", "cases", "--force"], 5).contains("`--wait`"));
    let gave_up = say(&["run", "cases", "--force", "--wait", "1s"], 5);
    assert!(gave_up.contains("waiting for run") && gave_up.contains("is at work on this output folder"), "{gave_up}");
    let stopped = say(&["run", "cases", "--force", "--wait", "5m", "--timeout", "1s"], 130);
    assert!(stopped.contains("stopped while it waited"), "{stopped}");
    // Who publishes nothing is in nobody's way.
    assert!(say(&["run", "cases", "--force", "--dry-run"], 0).contains("would publish 1 KPI"));

    // What has a mistake when the other run has ended is told then.
    let waiting = project.spawn(&["run", "cases", "--wait", "5m", "--metrics", "kpi.prom"]);
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    project.replace("kpis/service/cases.yaml", "value: count(*)", "value: count(*");
    slow.kill().unwrap();
    slow.wait().unwrap();
    let output = waiting.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("kpis/service/cases.yaml:9") && stderr.contains("nothing ran"), "{stderr}");
    let metrics = std::fs::read_to_string(project.path("kpi.prom")).unwrap();
    assert!(metrics.contains("kpi_run_exit_code{project=\"shop\"} 2"), "{metrics}");
}
