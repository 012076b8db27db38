//! What becomes of each result of a run: a candidate for the next version if its audits and tests pass; kept back otherwise.
//! Nothing is published here.

use std::collections::{BTreeMap, BTreeSet};

use super::candidate::{Computed, Ready};
use super::changes::{Basis, Kept};
use super::inputs::Inputs;
use super::testing::{self, Tested};
use super::{Engine, KpiOutcome};
use crate::error::{Error, Result};
use crate::model::{Kpi, Model, below};
use crate::report::{self, Scorecard};
use crate::store::{AuditStatus, Candidate, LogRecord, ManifestEvent, Phase, Run, Status};
use crate::survey::{FileDays, Survey, tables_of};

/// What a run found beside the results, before anything is judged.
pub(super) struct Found {
    pub survey: Survey,
    /// The KPIs behind which there is no row.
    pub without_rows: BTreeSet<String>,
    pub tested: Tested,
    /// The version before.
    pub head: Option<LogRecord>,
    /// Of which KPIs only some periods are computed.
    pub kept: Kept,
}

/// The results of a run after the audits.
#[derive(Default)]
pub(super) struct Judged {
    pub candidates: Vec<Candidate>,
    pub outcomes: BTreeMap<String, KpiOutcome>,
    pub scorecard: Scorecard,
    /// KPIs of the included catalogue for which there never was a row, and what is to be said.
    pub skipped: BTreeMap<String, String>,
    /// KPIs of which some periods were computed, and that have to be computed as a whole after all.
    pub again: BTreeSet<String>,
    /// What the files cover.
    pub files: FileDays,
}

/// Takes the results of a run as they come.
pub(super) struct Judge<'a> {
    pub engine: &'a Engine,
    pub inputs: &'a Inputs,
    pub found: &'a Found,
    pub judged: Judged,
}

impl Judge<'_> {
    /// Judges a result that was made ready.
    pub async fn judge(&mut self, run: &mut Run, (name, ready): Ready) -> Result<()> {
        let Judge { engine, inputs, found, judged } = self;
        let model = engine.model();
        let kpi = &model.kpis[&name];
        if below(model, &BTreeSet::from([name.clone()])).iter().any(|kpi| judged.again.contains(&kpi.name)) {
            judged.again.insert(name);
            return Ok(());
        }
        let why_skipped = || why_skipped(kpi, &ready, &found.without_rows, judged);
        if let Some(reason) = is_unused(kpi, &found.head).then(why_skipped).flatten() {
            return judged.skip(run, name, reason).await;
        }
        let mut computed = match ready {
            Ok(Some(computed)) => computed,
            Ok(None) => {
                judged.again.insert(name);
                return Ok(());
            }
            Err(error) => {
                let error = engine.explain(kpi, error).await;
                run.event(&ManifestEvent::new(Phase::Execute, Status::Failed).kpi(&name).error(&error)).await?;
                judged.outcomes.insert(name, KpiOutcome::Failed { error });
                return Ok(());
            }
        };
        let asserted = engine.test_result(&computed.result).await;
        computed.audits.extend(found.tested.audits(&tables_of(model, kpi), &asserted));
        let audits = &computed.audits;
        let failure = audits.iter().find(|audit| audit.status == AuditStatus::Failed);
        let held = kpi.inputs().into_iter().find(|input| !judged.is_good(model, input));
        let reason = match (failure, held) {
            (Some(audit), _) => Some(testing::reason(audit, audits)),
            (None, Some(input)) => Some(format!("it needs `{input}`, which is withheld")),
            (None, None) => None,
        };
        if let Some(reason) = reason {
            run.event(&ManifestEvent::new(Phase::Audit, Status::Withheld).kpi(&name).reason(&reason)).await?;
            let is_late = failure.is_some_and(|audit| audit.name == testing::FRESHNESS);
            judged.outcomes.insert(name, KpiOutcome::Withheld { reason, is_late });
            return Ok(());
        }
        judged.add(run, engine, inputs, found, computed).await
    }

    /// Keeps back what was computed from files that are others now: nobody knows which of them it has seen.
    pub async fn withhold_what_moved(&mut self, run: &mut Run) -> Result<()> {
        let Judge { engine, inputs, judged, .. } = self;
        let model = engine.model();
        let moved = inputs.changed_since(&engine.context, model).await;
        for name in model.order.iter().filter(|_| !moved.is_empty()) {
            if !matches!(judged.outcomes.get(name), Some(KpiOutcome::Published { .. })) {
                continue;
            }
            let kpi = &model.kpis[name];
            let held = kpi.inputs().into_iter().find(|input| !judged.is_good(model, input));
            let reason = match (moved.intersection(&tables_of(model, kpi)).next(), held) {
                (Some(table), _) => format!("the files of `{table}` changed while they were read; run again"),
                (None, Some(input)) => format!("it needs `{input}`, which is withheld"),
                (None, None) => continue,
            };
            run.event(&ManifestEvent::new(Phase::Audit, Status::Withheld).kpi(name).reason(&reason)).await?;
            judged.outcomes.insert(name.clone(), KpiOutcome::Withheld { reason, is_late: false });
            judged.candidates.retain(|candidate| candidate.staged.kpi != *name);
            judged.scorecard.rows.retain(|row| row.kpi != *name);
        }
        Ok(())
    }
}

/// Whether the company may have no use for a KPI: nobody of the project wrote it, and it never had a value. One that had a
/// value yesterday and has none today is something else.
fn is_unused(kpi: &Kpi, head: &Option<LogRecord>) -> bool {
    let was_published = head.as_ref().is_some_and(|record| record.kpis.contains_key(&kpi.name));
    kpi.is_included && !was_published
}

/// Why a KPI that nobody may have a use for has no value, if that is no failure.
fn why_skipped(
    kpi: &Kpi,
    ready: &Result<Option<Computed>>,
    without_rows: &BTreeSet<String>,
    judged: &Judged,
) -> Option<String> {
    match ready {
        Err(error) => without_rows.contains(&kpi.name).then(|| error.message().to_owned()),
        Ok(Some(computed)) if computed.count == 0 => Some("no row of its table counts".into()),
        Ok(_) => {
            let inputs = kpi.inputs();
            let skipped = inputs.into_iter().find_map(|input| Some((input, judged.skipped.get(input)?)));
            skipped.map(|(input, reason)| format!("it needs `{input}`, and {reason}"))
        }
    }
}

impl Judged {
    async fn skip(&mut self, run: &mut Run, name: String, reason: String) -> Result<()> {
        run.event(&ManifestEvent::new(Phase::Execute, Status::Skipped).kpi(&name).reason(&reason)).await?;
        self.skipped.insert(name, reason);
        Ok(())
    }

    /// Whether an input was not found wanting in this run; one that the run did not select counts as good. A variant is as
    /// good as what it is made of.
    fn is_good(&self, model: &Model, name: &str) -> bool {
        if let Some(kpi) = model.kpis.get(name).filter(|kpi| kpi.variant_of.is_some()) {
            let whole = kpi.variant_of.as_deref().is_none_or(|whole| self.is_good(model, whole));
            return whole && kpi.inputs().into_iter().all(|input| self.is_good(model, input));
        }
        !self.skipped.contains_key(name) && self.outcomes.get(name).is_none_or(KpiOutcome::is_up_to_date)
    }

    async fn add(
        &mut self,
        run: &mut Run,
        engine: &Engine,
        inputs: &Inputs,
        found: &Found,
        computed: Computed,
    ) -> Result<()> {
        let model = engine.model();
        let Computed { result, count, audits, headline, staged } = computed;
        let kpi = result.kpi;
        let staged = staged.ok_or_else(|| Error::internal(format!("the result of `{}` was not written", kpi.name)))?;
        let event = ManifestEvent::new(Phase::Stage, Status::Done).kpi(&kpi.name);
        run.event(&event.rows(count as u64).elapsed(result.elapsed)).await?;
        self.scorecard.rows.extend(report::scorecard_row(&kpi, &headline));
        let details = |status| audits.iter().filter(move |audit| audit.status == status);
        let outcome = KpiOutcome::Published {
            rows: count,
            is_in_part: found.kept.periods.contains_key(&kpi.name),
            warnings: details(AuditStatus::Warned).filter_map(|audit| audit.detail.clone()).collect(),
            changes: details(AuditStatus::Passed)
                .find(|audit| audit.name == "changes")
                .and_then(|audit| audit.detail.clone()),
        };
        self.outcomes.insert(kpi.name.clone(), outcome);
        self.candidates.push(Candidate {
            staged,
            fingerprint: kpi.fingerprint.clone(),
            input_digest: inputs.digest(model, &kpi),
            audit: audits,
            headline: serde_json::to_value(&headline).ok(),
            basis: serde_json::to_value(Basis::of(engine, &kpi, &found.survey)).ok(),
        });
        Ok(())
    }
}
