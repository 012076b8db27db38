//! Ctrl-C and the system's request to end: the run stops before it publishes, and says so by its exit code.
#![cfg(unix)]

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Project;

/// A run that takes minutes if nobody stops it.
pub fn slow_project() -> Project {
    let mut project = Project::published_shop();
    let rows: String = (7..3000).map(|id| format!("{id},2025-04-03,web,5\n")).collect();
    project.append("data/orders.csv", &rows);
    project.write(
        "kpis/slow.sql",
        "/* ---\ntable: triples\ntime: ordered_on\n--- */\n\
         SELECT a.ordered_on, a.amount * b.amount + c.amount AS size FROM orders a CROSS JOIN orders b CROSS JOIN orders c\n",
    );
    project.write("kpis/slow.yaml", "kpi: slow\nfrom: triples\nvalue: sum(size)\ngrains: [month]\n");
    project.transcript.clear();
    project
}

fn interrupt(signal: &str, exit_code: i32, name: &str) {
    let mut project = slow_project();
    let before = project.published();
    let runs = || std::fs::read_dir(project.path("out/_kpi/runs")).map_or(0, |files| files.count());
    let runs_before = runs();
    let started = Instant::now();
    let child = project.spawn(&["run", "slow"]);
    while runs() == runs_before && started.elapsed() < Duration::from_secs(60) {
        sleep(Duration::from_millis(20));
    }
    sleep(Duration::from_millis(300));
    let id = child.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    project.record(&["run", "slow"], &output);
    assert_eq!(output.status.code(), Some(exit_code), "{}", project.transcript);
    assert!(started.elapsed() < Duration::from_secs(60));
    assert!(project.published() == before);
    project.kpi(&["run", "cases"], 0);
    project.expect(name);
}

#[test]
fn interrupted_run() {
    interrupt("-INT", 130, "interrupted");
}

#[test]
fn terminated_run() {
    interrupt("-TERM", 143, "terminated");
}
