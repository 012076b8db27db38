//! How far a query is: what its scans have read so far, and what they have to.
//!
//! Rows are counted where they leave the files; what a filter in the scan leaves out is not among them, so that the part
//! that is done may seem smaller than it is.

use std::sync::Arc;

use datafusion::common::stats::Precision;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};

/// Watches the scans of a plan that runs.
#[derive(Debug, Clone)]
pub struct Meter {
    scans: Vec<Arc<dyn ExecutionPlan>>,
    /// Rows that the scans have to read, where the files say.
    total: Option<u64>,
}

/// What was read so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measured {
    pub rows: u64,
    /// Bytes of files, as far as scans count them.
    pub bytes: u64,
    pub total_rows: Option<u64>,
}

impl Measured {
    /// Which part is done, between 0 and 1.
    pub fn part(&self) -> Option<f64> {
        let total = self.total_rows.filter(|total| *total > 0)?;
        Some((self.rows as f64 / total as f64).min(1.0))
    }
}

impl Meter {
    pub(super) fn of(plan: &Arc<dyn ExecutionPlan>) -> Meter {
        let mut scans = Vec::new();
        collect_scans(plan, &mut scans);
        let statistics = StatisticsContext::default();
        let whole = StatisticsArgs::default();
        let rows = |scan: &Arc<dyn ExecutionPlan>| match statistics.compute(scan.as_ref(), &whole).ok()?.num_rows {
            Precision::Exact(rows) | Precision::Inexact(rows) => u64::try_from(rows).ok(),
            Precision::Absent => None,
        };
        let total = scans.iter().map(rows).sum();
        Meter { scans, total }
    }

    pub fn measure(&self) -> Measured {
        let mut measured = Measured { total_rows: self.total, ..Measured::default() };
        for metrics in self.scans.iter().filter_map(|scan| scan.metrics()) {
            measured.rows += metrics.output_rows().unwrap_or(0) as u64;
            measured.bytes += metrics.sum_by_name("bytes_scanned").map_or(0, |value| value.as_usize()) as u64;
        }
        measured
    }
}

fn collect_scans(plan: &Arc<dyn ExecutionPlan>, scans: &mut Vec<Arc<dyn ExecutionPlan>>) {
    let children = plan.children();
    if children.is_empty() {
        scans.push(plan.clone());
    }
    children.into_iter().for_each(|child| collect_scans(child, scans));
}
