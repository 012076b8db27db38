//! What becomes of each result of a run: audited, tested, and written into the run's own folder if it passes; kept back
//! otherwise. Nothing is published here.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;

use super::changes::{Basis, Kept};
use super::inputs::Inputs;
use super::patch::{has_other_members, patched};
use super::testing::{self, Tested};
use super::{Engine, KpiOutcome};
use crate::audit::audit;
use crate::compile::Cell;
use crate::error::Result;
use crate::execute::KpiResult;
use crate::materialize::parquet::Stored;
use crate::model::{Kpi, Model, below};
use crate::plan::{self, ByGrain};
use crate::report::{self, Scorecard};
use crate::store::{self, AuditStatus, Candidate, LogRecord, ManifestEvent, Phase, Run, Status, Store};
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
    pub store: &'a Store,
    pub inputs: &'a Inputs,
    pub found: &'a Found,
    pub judged: Judged,
}

impl Judge<'_> {
    /// Audits a result and writes it into the run's own folder if it passes.
    pub async fn judge(&mut self, run: &mut Run, name: String, result: Result<KpiResult>) -> Result<()> {
        let Judge { engine, store, inputs, found, judged } = self;
        let model = engine.model();
        let Found { survey, without_rows, tested, head, kept } = found;
        let periods = &kept.periods;
        let kpi = &model.kpis[&name];
        if below(model, &BTreeSet::from([name.clone()])).iter().any(|kpi| judged.again.contains(&kpi.name)) {
            judged.again.insert(name);
            return Ok(());
        }
        let why_skipped = || why_skipped(kpi, &result, without_rows, judged);
        if let Some(reason) = is_unused(kpi, head).then(why_skipped).flatten() {
            return judged.skip(run, name, reason).await;
        }
        let result = match result {
            Ok(result) => result,
            Err(error) => {
                let error = engine.explain(kpi, error);
                run.event(&ManifestEvent::new(Phase::Execute, Status::Failed).kpi(&name).error(&error)).await?;
                judged.outcomes.insert(name, KpiOutcome::Failed { error });
                return Ok(());
            }
        };
        // A damaged file of an earlier version must not keep the next one from being published.
        let published = match head {
            Some(record) => store.open_kpi(record, &name).await.unwrap_or(None),
            None => None,
        };
        let candidate = match periods.get(&name) {
            Some(periods) => match engine.put_together(result, periods, published.as_ref())? {
                Some(candidate) => candidate,
                None => {
                    judged.again.insert(name);
                    return Ok(());
                }
            },
            None => Computed::whole(result, published.as_ref()),
        };
        let without_time = survey.without_time.get(&name).copied();
        let Computed { result, before, count, .. } = &candidate;
        let mut audits = audit(result, before.as_ref(), *count, without_time)?;
        let asserted = engine.test_result(result).await;
        audits.extend(tested.audits(&tables_of(model, kpi), &asserted));
        let failure = audits.iter().find(|audit| audit.status == AuditStatus::Failed);
        let held = kpi.inputs().into_iter().find(|input| !judged.is_good(model, input));
        let reason = match (failure, held) {
            (Some(audit), _) => Some(testing::reason(audit, &audits)),
            (None, Some(input)) => Some(format!("it needs `{input}`, which is withheld")),
            (None, None) => None,
        };
        if let Some(reason) = reason {
            run.event(&ManifestEvent::new(Phase::Audit, Status::Withheld).kpi(&name).reason(&reason)).await?;
            let is_late = failure.is_some_and(|audit| audit.name == testing::FRESHNESS);
            judged.outcomes.insert(name, KpiOutcome::Withheld { reason, is_late });
            return Ok(());
        }
        judged.add(run, engine, inputs, found, candidate, audits).await
    }

    /// Keeps back what was computed from files that are others now: nobody knows which of them it has seen.
    pub async fn withhold_what_moved(&mut self, run: &mut Run) -> Result<()> {
        let Judge { engine, inputs, judged, .. } = self;
        let model = engine.model();
        let moved = inputs.changed_since(model);
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

/// What a run has computed of a KPI, ready to be audited.
struct Computed {
    /// All rows; where some periods are as they were published and nobody asks for them, the others.
    result: KpiResult,
    /// The published rows in their place.
    before: Option<RecordBatch>,
    /// How many rows there are in all.
    count: usize,
    /// All of them as a file, where it was made of the published one.
    encoded: Option<Vec<u8>>,
    /// The rows that are shown of the KPI, where they are not among those of the result.
    of_headline: Option<RecordBatch>,
}

impl Computed {
    fn whole(result: KpiResult, published: Option<&Stored>) -> Computed {
        let count = result.rows.num_rows();
        Computed { result, before: published.and_then(all_rows), count, encoded: None, of_headline: None }
    }
}

/// The rows of a published file; what cannot be read is not compared with.
fn all_rows(published: &Stored) -> Option<RecordBatch> {
    let batches = published.read((0..published.groups()).collect()).ok()?;
    concat_batches(published.schema(), &batches).ok()
}

impl Engine {
    /// The published result with the periods that were computed in their places; `None` where it has to be computed as a
    /// whole.
    fn put_together(
        &self,
        result: KpiResult,
        touched: &ByGrain,
        published: Option<&Stored>,
    ) -> Result<Option<Computed>> {
        let Some(published) = published else { return Ok(None) };
        let model = self.model();
        let kpi = result.kpi.clone();
        let cells = plan::cells(model, &kpi.name);
        let is_filled = plan::is_filled_by_member(&kpi);
        // Who asserts something of a result, or looks at all its members, has to see all of it.
        let reads_all = is_filled || model.tests.assertions.contains_key(&kpi.name);
        let calendar = &model.project.calendar;
        let Some(patched) = patched(&cells, touched, calendar, published, &result.rows, reads_all)? else {
            return Ok(None);
        };
        let grain = kpi.grains.first();
        let is_shown = |cell: &Cell| Some(&cell.grain) == grain && cell.dimensions.is_empty();
        let known = patched.read(published, is_shown)?;
        let (rows, before) = match reads_all {
            true => (known.clone(), all_rows(published)),
            false => (result.rows, Some(patched.replaced.clone())),
        };
        if let Some(before) = before.as_ref().filter(|_| is_filled)
            && has_other_members(&cells, before, &rows)?
        {
            return Ok(None);
        }
        let (count, encoded) = (patched.rows, Some(patched.encode(published)?));
        let result = KpiResult { kpi, schema: result.schema, rows, elapsed: result.elapsed };
        Ok(Some(Computed { result, before, count, encoded, of_headline: Some(known) }))
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
    result: &Result<KpiResult>,
    without_rows: &BTreeSet<String>,
    judged: &Judged,
) -> Option<String> {
    match result {
        Err(error) => without_rows.contains(&kpi.name).then(|| error.message().to_owned()),
        Ok(result) if result.rows.num_rows() == 0 => Some("no row of its table counts".into()),
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
        audits: Vec<store::Audit>,
    ) -> Result<()> {
        let model = engine.model();
        let Computed { result: KpiResult { kpi, schema, rows, elapsed }, count, encoded, of_headline, .. } = computed;
        let staged = match encoded {
            Some(encoded) => run.stage_encoded(&kpi.name, encoded, count as u64).await?,
            None => run.stage(&kpi.name, &schema, std::slice::from_ref(&rows)).await?,
        };
        let event = ManifestEvent::new(Phase::Stage, Status::Done).kpi(&kpi.name);
        run.event(&event.rows(count as u64).elapsed(elapsed)).await?;
        let headline = report::headline(&kpi, of_headline.as_ref().unwrap_or(&rows), &model.project.calendar)?;
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
