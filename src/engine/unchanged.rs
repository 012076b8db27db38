//! What an earlier run has published and nothing has changed since: neither the definition, nor the files and tests behind it,
//! nor the day that it is looked at from. Such a KPI is not computed again, and its data is not read.

use std::collections::{BTreeMap, BTreeSet};

use super::inputs::Inputs;
use super::{Engine, KpiOutcome};
use crate::error::Result;
use crate::model::Kpi;
use crate::report::{self, Headline, ScorecardRow};
use crate::store::{AuditStatus, Entry, LogRecord, Store};

/// A KPI whose published values are those that a run would compute.
pub(super) struct Unchanged {
    pub outcome: KpiOutcome,
    pub row: ScorecardRow,
}

impl Engine {
    /// Those of the selected KPIs that need not be computed.
    pub(super) async fn unchanged(
        &self,
        store: &Store,
        head: Option<&LogRecord>,
        inputs: &Inputs,
        selected: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Unchanged>> {
        let mut unchanged = BTreeMap::new();
        let Some(head) = head else { return Ok(unchanged) };
        for name in selected {
            let kpi = &self.model().kpis[name];
            let Some(entry) = head.kpis.get(name).filter(|entry| self.why_changed(kpi, entry, inputs).is_none()) else {
                continue;
            };
            // What somebody has deleted is computed again.
            if !store.has_files(entry).await? {
                continue;
            }
            if let Some(row) = self.row_of(store, head, kpi, entry).await {
                let warned = entry.audit.iter().filter(|audit| audit.status == AuditStatus::Warned);
                let warnings = warned.filter_map(|audit| audit.detail.clone()).collect();
                let rows = usize::try_from(entry.rows).unwrap_or(usize::MAX);
                unchanged.insert(name.clone(), Unchanged { outcome: KpiOutcome::Unchanged { rows, warnings }, row });
            }
        }
        Ok(unchanged)
    }

    /// What is not as it was when an entry was computed.
    pub(super) fn why_changed(&self, kpi: &Kpi, entry: &Entry, inputs: &Inputs) -> Option<&'static str> {
        match () {
            () if entry.fingerprint != kpi.fingerprint => Some("its definition changed"),
            () if entry.input_digest != inputs.digest(self.model(), kpi) => Some("its files or tests changed"),
            () if entry.as_of != Some(self.as_of.to_string()) => Some("it is looked at from another day"),
            () => None,
        }
    }

    /// The scorecard's line of a published result.
    async fn row_of(&self, store: &Store, head: &LogRecord, kpi: &Kpi, entry: &Entry) -> Option<ScorecardRow> {
        let kept = entry.headline.clone().and_then(|kept| serde_json::from_value::<Headline>(kept).ok());
        if let Some(row) = kept.and_then(|kept| report::scorecard_row(kpi, &kept)) {
            return Some(row);
        }
        let batches = store.read_kpi(head, &kpi.name).await.ok()??;
        let rows = datafusion::arrow::compute::concat_batches(&batches.first()?.schema(), &batches).ok()?;
        let headline = report::headline(kpi, &rows, &self.model().project.calendar).ok()?;
        report::scorecard_row(kpi, &headline)
    }
}
