//! What a run would do, without doing it: what has changed, which KPIs share a scan, and what each scan reads.
//!
//! Footers of Parquet files are read for the sizes of columns. No row is, but the times of those in files that are new since
//! the last run: they tell which periods are touched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::empty::EmptyTable;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;

use super::changes::Kept;
use super::derived::derived_tables;
use super::inputs::Inputs;
use super::planned::{Planned, PlannedKpi};
use super::select::Selected;
use super::{Engine, RunOptions};
use crate::catalog::{self, ColumnSizes, InputFile};
use crate::days::DayRanges;
use crate::error::Result;
use crate::execute::query_error;
use crate::model::{Origin, Shape, Subject, below, table_of_files};
use crate::plan::{self, ByGrain, Pass, Wanted};
use crate::session::{self, RowsAtHand, table_at_hand};
use crate::store::{LogRecord, Store};
use crate::survey::{Events, FileDays, survey, tables_of};

/// What a run would do.
#[derive(Debug, Clone)]
pub struct Preview {
    /// The newest version, if there is one.
    pub version: Option<u64>,
    /// The KPIs that would not be computed, since nothing has changed.
    pub unchanged: Vec<String>,
    /// Those that would be taken away, since no definition has them any more.
    pub removed: Vec<String>,
    /// Those that would.
    pub changed: Vec<Changed>,
    /// Those that cannot be computed since data files cannot be used, and why.
    pub unusable: BTreeMap<String, String>,
    pub scans: Vec<Scan>,
    /// All that has to be known to run exactly this.
    pub planned: Planned,
    /// Aggregates that are not computed beside others, and why; also those below the KPIs that are computed.
    pub apart: Vec<(String, &'static str)>,
}

/// A KPI that would be computed.
#[derive(Debug, Clone)]
pub struct Changed {
    pub kpi: String,
    /// Why.
    pub reason: String,
    /// The days whose periods would be, by grain, where not all are.
    pub touched: Option<ByGrain>,
    /// Whether all are after all if members have come or gone.
    pub has_members: bool,
}

/// One reading of a table and those that it is joined with.
#[derive(Debug, Clone)]
pub struct Scan {
    pub table: String,
    pub kind: ScanKind,
    pub kpis: Vec<String>,
    /// The days whose rows are needed.
    pub days: DayRanges,
    pub reads: Vec<Read>,
}

/// What comes out of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanKind {
    /// The rows of a derived table, made once for all KPIs and tables that read it.
    Derived,
    /// All cells of its KPIs.
    Pass { cells: usize, measures: usize },
    /// Rows that its KPIs look at for each cell.
    Rows,
    /// Each cell of its one KPI has a scan of its own.
    Each { cells: usize },
}

/// What is read of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    pub table: String,
    /// Those that hold rows of the days that are needed, as far as that is known.
    pub files: usize,
    /// As the files are stored.
    pub bytes: u64,
    /// As the files name them.
    pub columns: Vec<String>,
    /// Where the format knows how much of a file a column takes.
    pub sizes: Option<ColumnSizes>,
    /// Whether it is a derived table, which another scan makes.
    pub is_derived: bool,
}

impl Engine {
    /// What [`Engine::run`] would do now with the same options.
    ///
    /// # Errors
    /// `Config` where the project has mistakes or the selection names nothing, `Storage` where the results cannot be read.
    pub async fn preview(&self, options: &RunOptions) -> Result<Preview> {
        self.refuse_mistakes()?;
        let RunOptions { select, force, days, .. } = options;
        let force = *force;
        let model = self.model();
        let Selected { kpis: selected, unusable } = self.select_usable(select)?;
        let store = self.store()?;
        let head = store.head().await?;
        let inputs = Inputs::pin(model);
        let unchanged = match force || !days.is_empty() {
            true => BTreeMap::new(),
            false => self.unchanged(&store, head.as_ref(), &inputs, &selected).await?,
        };
        let planned = Planned::new(self, options, head.as_ref());
        let mut preview = Preview {
            version: planned.version,
            unchanged: Vec::new(),
            removed: Vec::new(),
            changed: Vec::new(),
            unusable,
            scans: Vec::new(),
            planned,
            apart: Vec::new(),
        };
        let mut changed = BTreeSet::new();
        for name in model.order.iter().filter(|name| selected.contains(*name)) {
            if unchanged.contains_key(name) {
                preview.unchanged.push(name.clone());
                continue;
            }
            let entry = head.as_ref().and_then(|head| head.kpis.get(name));
            let why = match entry {
                _ if force => "forced",
                None => "it has no values yet",
                Some(entry) => match self.why_changed(&model.kpis[name], entry, &inputs) {
                    Some(why) => why,
                    None if !days.is_empty() => "nothing has changed, but days are asked for",
                    None => "the file of its values is missing or damaged",
                },
            };
            preview.changed.push(Changed { kpi: name.clone(), reason: why.into(), touched: None, has_members: false });
            preview.planned.changed.push(PlannedKpi::of(&model.kpis[name], model, &inputs));
            changed.insert(name.clone());
        }
        preview.removed = self.removals(options, head.as_ref());
        preview.planned.removed = preview.removed.clone();
        let (kept, covered) = match force {
            true => Default::default(),
            false => self.kept_by_files(&store, head.as_ref(), &inputs, &changed, days).await?,
        };
        for changed in &mut preview.changed {
            let below = below(model, &BTreeSet::from([changed.kpi.clone()]));
            changed.has_members = below.iter().any(|kpi| kept.members.contains_key(&kpi.name));
            changed.touched = kept.periods.get(&changed.kpi).cloned();
        }
        let run_plan = plan::plan(model, Some(&changed), &kept.periods);
        let context = self.preview_derived(&changed, &mut preview).await?;
        for pass in &run_plan.passes {
            let plan = pass.logical_plan(model, self.as_of.day).map_err(query_error)?;
            let reads =
                self.reads(&context, plan, &self.spared(&pass.kpis, &self.days_of_rows(pass), &covered)).await?;
            let kind = ScanKind::Pass { cells: pass.cells(), measures: pass.measures() };
            let (table, kpis, days) = (pass.table.clone(), pass.kpis.clone(), self.days_of_rows(pass));
            preview.scans.push(Scan { table, kind, kpis, days, reads });
        }
        for rows in &run_plan.rows {
            let plan = rows.logical_plan(model, self.as_of.day).map_err(query_error)?;
            let reads = self.reads(&context, plan, &self.spared(&rows.kpis, &rows.days, &covered)).await?;
            let (table, kpis, days) = (rows.table.clone(), rows.kpis.clone(), rows.days.clone());
            preview.scans.push(Scan { table, kind: ScanKind::Rows, kpis, days, reads });
        }
        for Wanted { name, cells, .. } in &run_plan.kpis {
            let kpi = &model.kpis[name];
            if let Shape::Query(query) = &kpi.shape {
                let table = query.tables.iter().cloned().collect::<Vec<_>>().join(", ");
                let kind = ScanKind::Each { cells: cells.len() };
                let (kpis, days) = (vec![name.clone()], DayRanges::all());
                preview.scans.push(Scan { table, kind, kpis, days, reads: Vec::new() });
            }
        }
        for kpi in below(model, &changed) {
            if let Some(reason) = kpi.aggregate().and_then(plan::why_not_fused) {
                preview.apart.push((kpi.name.clone(), reason));
            }
        }
        Ok(preview)
    }

    /// The derived tables that are made once, and a session in which they are.
    async fn preview_derived(&self, kpis: &BTreeSet<String>, preview: &mut Preview) -> Result<SessionContext> {
        let model = self.model();
        let mut context = self.context.clone();
        let mut rows = RowsAtHand::new();
        for (name, plan) in derived_tables(model, kpis) {
            let schema = Arc::new(plan.schema().as_arrow().clone());
            let reads = self.reads(&context, plan, &BTreeSet::new()).await?;
            let reading = below(model, kpis).into_iter().filter(|kpi| tables_of(model, kpi).contains(&name));
            let (kpis, days) = (reading.map(|kpi| kpi.name.clone()).collect(), DayRanges::all());
            preview.scans.push(Scan { table: name.clone(), kind: ScanKind::Derived, kpis, days, reads });
            rows.insert(name, Arc::new(EmptyTable::new(schema)));
            context = session::with_rows_at_hand(&self.context, rows.clone());
        }
        Ok(context)
    }

    /// What of the results a run would keep, as [`Engine::kept`] tells once it has looked at the files that are new.
    async fn kept_by_files(
        &self,
        store: &Store,
        head: Option<&LogRecord>,
        inputs: &Inputs,
        changed: &BTreeSet<String>,
        asked: &DayRanges,
    ) -> Result<(Kept, FileDays)> {
        let Some(head) = head.filter(|head| changed.iter().any(|name| head.kpis.contains_key(name))) else {
            return Ok(Default::default());
        };
        let known = Inputs::known_days(self.model(), head);
        let survey = survey(&self.context, self.model(), changed, self.as_of, &known).await;
        // What cannot be read fails in the run, and says why there.
        let ready = changed.iter().filter(|name| !survey.failed.contains_key(*name)).cloned().collect();
        let kept = self.kept(store, Some(head), inputs, &survey, &ready, asked).await?;
        Ok((kept, survey.files))
    }

    /// The days whose rows a pass reads. Any event may have a conversion on the days that are asked for.
    fn days_of_rows(&self, pass: &Pass) -> DayRanges {
        let aggregate = pass.kpis.first().and_then(|kpi| self.model().kpis.get(kpi)?.aggregate());
        match aggregate.map(|aggregate| &aggregate.subject) {
            Some(Subject::Conversions(_)) => DayRanges::all(),
            _ => pass.days.clone(),
        }
    }

    /// The files of the table that these KPIs share which hold none of these days.
    fn spared<'a>(&'a self, kpis: &[String], days: &DayRanges, covered: &FileDays) -> BTreeSet<&'a InputFile> {
        let model = self.model();
        let aggregate = kpis.first().and_then(|kpi| model.kpis.get(kpi)?.aggregate());
        let Some(aggregate) = aggregate.filter(|_| !days.is_all()) else { return BTreeSet::new() };
        let Some(key) = Events::of(aggregate).key(model) else { return BTreeSet::new() };
        let Some(Origin::Files { opened, .. }) = model.tables.get(&aggregate.table).map(|table| &table.origin) else {
            return BTreeSet::new();
        };
        let is_spared = |file: &&InputFile| covered.of(&key, file).is_some_and(|covered| !covered.days().meets(days));
        opened.files.iter().filter(is_spared).collect()
    }

    /// What a plan reads of which tables, once it is optimized, without the files that need not be read.
    async fn reads(
        &self,
        context: &SessionContext,
        plan: LogicalPlan,
        spared: &BTreeSet<&InputFile>,
    ) -> Result<Vec<Read>> {
        let plan = context.state().optimize(&plan).map_err(query_error)?;
        let mut columns: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let noted = plan.apply(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && let Some(table) = table_of_files(scan.table_name.table()).or(table_at_hand(scan.table_name.table()))
            {
                let read = columns.entry(table.to_owned()).or_default();
                read.extend(scan.projected_schema.fields().iter().map(|field| field.name().clone()));
            }
            Ok(TreeNodeRecursion::Continue)
        });
        noted.map_err(query_error)?;
        let mut reads = Vec::new();
        for (table, columns) in columns {
            let Some(known) = self.model().tables.get(&table) else { continue };
            let columns: Vec<String> = columns.into_iter().collect();
            reads.push(match &known.origin {
                Origin::Query { .. } => Read { table, files: 0, bytes: 0, columns, sizes: None, is_derived: true },
                Origin::Files { opened, .. } => {
                    let files: Vec<&InputFile> = opened.files.iter().filter(|file| !spared.contains(file)).collect();
                    Read {
                        files: files.len(),
                        bytes: files.iter().map(|file| file.bytes).sum(),
                        sizes: catalog::column_sizes(opened, &files, &columns).await,
                        is_derived: false,
                        table,
                        columns,
                    }
                }
            });
        }
        Ok(reads)
    }
}
