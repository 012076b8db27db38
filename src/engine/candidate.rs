//! A computed result on its way to be judged: put into the published one where only some periods are new, audited, encoded
//! and written into the run's own folder. The work is the processor's, and several results are made ready side by side.
//!
//! Nothing is decided here. Whether a result is published, withheld or computed once more is for `judge` to say.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;

use super::Engine;
use super::judge::Found;
use super::patch::{has_other_members, patched};
use crate::audit::audit;
use crate::compile::Cell;
use crate::error::{Error, Result};
use crate::execute::{KpiResult, Outcome};
use crate::materialize::parquet::{Stored, encode};
use crate::model::Kpi;
use crate::plan::{self, ByGrain};
use crate::report::{self, Headline};
use crate::store::{Audit, AuditStatus, StagedKpi, Stager, Store};
use crate::time::Calendar;

/// A result, and all that is to be known of it.
pub(super) struct Computed {
    /// All rows; where some periods are as they were published and nobody asks for them, the others.
    pub result: KpiResult,
    /// How many rows there are in all.
    pub count: usize,
    pub audits: Vec<Audit>,
    pub headline: Headline,
    /// All rows as a file of the run; `None` where an audit failed.
    pub staged: Option<StagedKpi>,
}

/// A KPI's result made ready; `Ok(None)` where it was computed in part and has to be computed as a whole.
pub(super) type Ready = (String, Result<Option<Computed>>);

/// Makes a result ready.
///
/// # Errors
/// Where the run cannot go on: `Storage` where a result cannot be written, `Internal`. What failed in computing the KPI is
/// in the result.
pub(super) async fn make_ready(
    engine: &Engine,
    store: &Store,
    stager: Stager,
    found: &Found,
    (name, result): Outcome,
) -> Result<Ready> {
    let result = match result {
        Ok(result) => result,
        Err(error) => return Ok((name, Err(error))),
    };
    let model = engine.model();
    // A damaged file of an earlier version must not keep the next one from being published.
    let published = match &found.head {
        Some(record) => store.open_kpi(record, &name).await.unwrap_or(None),
        None => None,
    };
    let calendar = model.project.calendar.clone();
    let without_time = found.survey.without_time.get(&name).copied();
    let in_part = found.kept.periods.get(&name).map(|touched| InPart {
        cells: plan::cells(model, &name),
        touched: touched.clone(),
        has_assertions: model.tests.assertions.contains_key(&name),
    });
    let encoding = move || -> Result<Option<(Computed, Vec<u8>)>> {
        let whole = match in_part {
            Some(in_part) => in_part.put_together(result, published, &calendar)?,
            None => Some(Whole::of(result, published.as_ref())),
        };
        let Some(Whole { result, before, count, encoded, of_headline }) = whole else { return Ok(None) };
        let audits = audit(&result, before.as_ref(), count, without_time)?;
        let headline = report::headline(&result.kpi, of_headline.as_ref().unwrap_or(&result.rows), &calendar)?;
        let encoded = match encoded {
            Some(encoded) => encoded,
            None => encode(&result.schema, std::slice::from_ref(&result.rows))?,
        };
        Ok(Some((Computed { result, count, audits, headline, staged: None }, encoded)))
    };
    let Some((mut computed, encoded)) = blocking(encoding).await? else { return Ok((name, Ok(None))) };
    if !computed.audits.iter().any(|audit| audit.status == AuditStatus::Failed) {
        computed.staged = Some(stager.stage(&name, encoded, computed.count as u64).await?);
    }
    Ok((name, Ok(Some(computed))))
}

/// Does work of the processor beside everything else.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(Error::internal("a result could not be made ready").with_source(error)),
        },
    }
}

/// The rows of a result, computed or taken over.
struct Whole {
    result: KpiResult,
    /// The published rows in the place of what was computed.
    before: Option<RecordBatch>,
    count: usize,
    /// All of them as a file, where it was made of the published one.
    encoded: Option<Vec<u8>>,
    /// The rows that are shown of the KPI, where they are not among those of the result.
    of_headline: Option<RecordBatch>,
}

impl Whole {
    fn of(result: KpiResult, published: Option<&Stored>) -> Whole {
        let count = result.rows.num_rows();
        Whole { result, before: published.and_then(all_rows), count, encoded: None, of_headline: None }
    }
}

/// The rows of a published file; what cannot be read is not compared with.
fn all_rows(published: &Stored) -> Option<RecordBatch> {
    let batches = published.read((0..published.groups()).collect()).ok()?;
    concat_batches(published.schema(), &batches).ok()
}

/// Of a KPI of which only some periods were computed: which, and what else has to be known.
struct InPart {
    cells: Vec<Cell>,
    touched: ByGrain,
    has_assertions: bool,
}

impl InPart {
    /// The published result with the periods that were computed in their places; `None` where it has to be computed as a
    /// whole.
    fn put_together(self, result: KpiResult, published: Option<Stored>, calendar: &Calendar) -> Result<Option<Whole>> {
        let Some(published) = published else { return Ok(None) };
        let kpi: Arc<Kpi> = result.kpi.clone();
        let is_filled = plan::is_filled_by_member(&kpi);
        // Who asserts something of a result, or looks at all its members, has to see all of it.
        let reads_all = is_filled || self.has_assertions;
        let patched = patched(&self.cells, &self.touched, calendar, &published, &result.rows, reads_all)?;
        let Some(patched) = patched else { return Ok(None) };
        let grain = kpi.grains.first();
        let is_shown = |cell: &Cell| Some(&cell.grain) == grain && cell.dimensions.is_empty();
        let known = patched.read(&published, is_shown)?;
        let (rows, before) = match reads_all {
            true => (known.clone(), all_rows(&published)),
            false => (result.rows, Some(patched.replaced.clone())),
        };
        if let Some(before) = before.as_ref().filter(|_| is_filled)
            && has_other_members(&self.cells, before, &rows)?
        {
            return Ok(None);
        }
        let (count, encoded) = (patched.rows, Some(patched.encode(&published)?));
        let result = KpiResult { kpi, schema: result.schema, rows, elapsed: result.elapsed };
        Ok(Some(Whole { result, before, count, encoded, of_headline: Some(known) }))
    }
}
