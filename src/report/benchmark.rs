//! A benchmark in one line, for tables and pages.

use super::format_number;
use crate::model::Benchmark;

/// `22.0 % (Survey of sales teams, software, 2024-12-31)`.
pub fn format_benchmark(benchmark: &Benchmark, unit: Option<&str>, currency: Option<&str>) -> String {
    let value = format_number(Some(benchmark.value), unit, currency);
    let day = benchmark.as_of.map(|day| day.to_string());
    let words: Vec<&str> =
        [Some(benchmark.source.as_str()), benchmark.sector.as_deref(), day.as_deref()].into_iter().flatten().collect();
    format!("{value} ({})", words.join(", "))
}
