//! `kpi run --metrics FILE`: what came of a run, as a text file for Prometheus' textfile collector.
//!
//! The file is replaced as a whole, also after a run that failed: then it keeps the moment of the last one that did not, and
//! the values that are still published. Nothing is pushed anywhere.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use kpi::engine::{KpiOutcome, RunReport};
use kpi::error::Result;
use kpi::location::replace_file;

use super::run::outcome_word;

/// Writes the file.
///
/// # Errors
/// `Storage` where it cannot be written.
pub fn write_metrics(file: &Path, project: &str, report: Option<&RunReport>, exit_code: u8) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    let before = fs::read_to_string(file).unwrap_or_default();
    let success = match exit_code {
        0 => Some(now),
        _ => before.lines().find_map(|line| line.strip_prefix(LAST_SUCCESS)?.rsplit(' ').next()?.parse().ok()),
    };
    let text = metrics(project, report, exit_code, now, success, &before);

    // The collector may look at any moment, and takes no file whose name does not end in .prom.
    replace_file(file, text.as_bytes())
}

const LAST_SUCCESS: &str = "kpi_last_success_timestamp_seconds{";

fn metrics(
    project: &str,
    report: Option<&RunReport>,
    exit_code: u8,
    now: f64,
    success: Option<f64>,
    before: &str,
) -> String {
    let mut text = String::new();
    let mut add = |name: &str, help: &str, values: &[(String, f64)]| {
        if values.is_empty() {
            return;
        }
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, value) in values {
            let _ = writeln!(text, "{name}{{{labels}}} {value}");
        }
    };
    let of_project = format!("project=\"{}\"", label(project));
    let one = |value: f64| vec![(of_project.clone(), value)];
    let of_kpi = |kpi: &str| format!("{of_project},kpi=\"{}\"", label(kpi));
    add("kpi_run_timestamp_seconds", "When the last run ended.", &one(now));
    add("kpi_run_exit_code", "How the last run ended; 0 is well.", &one(exit_code.into()));
    add("kpi_last_success_timestamp_seconds", "When a run last ended well.", &success.map(one).unwrap_or_default());
    let Some(report) = report else {
        text.push_str(&still_published(before));
        return text;
    };
    add("kpi_run_duration_seconds", "How long the last run took.", &one(report.elapsed.as_secs_f64()));
    let version = report.version.map(|version| one(version as f64)).unwrap_or_default();
    add("kpi_version", "The newest version of the results.", &version);
    let words = ["published", "unchanged", "withheld", "failed"];
    let count = |word: &str| report.kpis.iter().filter(|(_, outcome)| outcome_word(outcome) == word).count();
    let counts: Vec<(String, f64)> =
        words.iter().map(|word| (format!("{of_project},status=\"{word}\""), count(word) as f64)).collect();
    add("kpi_run_kpis", "KPIs of the last run, by what became of them.", &counts);
    let good = |(kpi, outcome): &(String, KpiOutcome)| (of_kpi(kpi), f64::from(u8::from(outcome.is_up_to_date())));
    let good: Vec<(String, f64)> = report.kpis.iter().map(good).collect();
    add("kpi_up_to_date", "1 where the published values are those of the last run.", &good);
    let latest = || report.scorecard.rows.iter().filter_map(|row| Some((row, row.latest.as_ref()?)));
    let labels = |kpi: &str, grain: &str| format!("{},grain=\"{grain}\"", of_kpi(kpi));
    let periods: Vec<(String, f64)> = latest()
        .map(|(row, latest)| {
            let start = latest.period_start.and_time(chrono::NaiveTime::MIN).and_utc().timestamp();
            (labels(&row.kpi, row.grain.name()), start as f64)
        })
        .collect();
    add("kpi_period_timestamp_seconds", "The first day of the last complete period.", &periods);
    let values: Vec<(String, f64)> =
        latest().filter_map(|(row, latest)| Some((labels(&row.kpi, row.grain.name()), latest.value?))).collect();
    add("kpi_value", "The value of the last complete period.", &values);
    text
}

/// What an earlier file said of the results. They are as they were, and no longer up to date.
fn still_published(before: &str) -> String {
    const OF_RESULTS: [&str; 4] = ["kpi_version", "kpi_up_to_date", "kpi_period_timestamp_seconds", "kpi_value"];
    let is_of_results = |line: &&str| {
        let words = line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ");
        OF_RESULTS.contains(&words.split(['{', ' ']).next().unwrap_or_default())
    };
    let kept = before.lines().filter(is_of_results).map(|line| match line.rsplit_once(' ') {
        Some((up_to_date, _)) if line.starts_with("kpi_up_to_date{") => format!("{up_to_date} 0\n"),
        _ => format!("{line}\n"),
    });
    kept.collect()
}

fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
