//! What a run would do, without doing it: what has changed, which KPIs share a scan, and what each scan reads.
//!
//! Footers of Parquet files are read for the sizes of columns; no row is.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::LogicalPlan;

use super::Engine;
use super::inputs::Inputs;
use crate::catalog::{self, ColumnSizes};
use crate::compile::Bounds;
use crate::error::Result;
use crate::execute::query_error;
use crate::model::{Origin, Shape, below, table_of_files};
use crate::plan;
use crate::store::Store;

/// What a run would do.
#[derive(Debug, Clone, Default)]
pub struct Preview {
    /// The newest version, if there is one.
    pub version: Option<u64>,
    /// The KPIs that would not be computed, since nothing has changed.
    pub unchanged: Vec<String>,
    /// Those that would, and why.
    pub changed: Vec<(String, &'static str)>,
    pub scans: Vec<Scan>,
    /// Aggregates that are not computed beside others, and why; also those below the KPIs that are computed.
    pub apart: Vec<(String, &'static str)>,
}

/// One reading of a table and those that it is joined with.
#[derive(Debug, Clone)]
pub struct Scan {
    pub table: String,
    pub kind: ScanKind,
    pub kpis: Vec<String>,
    pub reads: Vec<Read>,
}

/// What comes out of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanKind {
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
    pub files: usize,
    /// As the files are stored.
    pub bytes: u64,
    /// As the files name them.
    pub columns: Vec<String>,
    /// Where the format knows how much of a file a column takes.
    pub sizes: Option<ColumnSizes>,
}

impl Engine {
    /// What [`Engine::run`] would do now with the same selection.
    ///
    /// # Errors
    /// `Config` where the project has mistakes or the selection names nothing, `Storage` where the results cannot be read.
    pub async fn preview(&self, select: &[String], force: bool) -> Result<Preview> {
        self.refuse_mistakes()?;
        let model = self.model();
        let selected = self.select(select)?;
        let store = Store::open_local(&model.project.output)?;
        let head = store.head().await?;
        let inputs = Inputs::pin(model);
        let unchanged = match force {
            true => BTreeMap::new(),
            false => self.unchanged(&store, head.as_ref(), &inputs, &selected).await?,
        };
        let mut preview = Preview { version: head.as_ref().map(|head| head.version), ..Preview::default() };
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
                Some(entry) => {
                    self.why_changed(&model.kpis[name], entry, &inputs).unwrap_or("files of its values are missing")
                }
            };
            preview.changed.push((name.clone(), why));
            changed.insert(name.clone());
        }
        let bounds = Bounds { since: None, until: self.as_of.day };
        let run_plan = plan::plan(model, Some(&changed));
        for pass in &run_plan.passes {
            let reads = self.reads(pass.logical_plan(model, bounds).map_err(query_error)?)?;
            let kind = ScanKind::Pass { cells: pass.cells(), measures: pass.measures() };
            preview.scans.push(Scan { table: pass.table.clone(), kind, kpis: pass.kpis.clone(), reads });
        }
        for rows in &run_plan.rows {
            let reads = self.reads(rows.logical_plan(model, bounds).map_err(query_error)?)?;
            preview.scans.push(Scan {
                table: rows.table.clone(),
                kind: ScanKind::Rows,
                kpis: rows.kpis.clone(),
                reads,
            });
        }
        for (name, cells) in &run_plan.kpis {
            let kpi = &model.kpis[name];
            if let Shape::Query(query) = &kpi.shape {
                let table = query.tables.iter().cloned().collect::<Vec<_>>().join(", ");
                let kind = ScanKind::Each { cells: cells.len() };
                preview.scans.push(Scan { table, kind, kpis: vec![name.clone()], reads: Vec::new() });
            }
        }
        for kpi in below(model, &changed) {
            if let Some(reason) = kpi.aggregate().and_then(plan::why_not_fused) {
                preview.apart.push((kpi.name.clone(), reason));
            }
        }
        Ok(preview)
    }

    /// What a plan reads of which tables, once it is optimized.
    fn reads(&self, plan: LogicalPlan) -> Result<Vec<Read>> {
        let plan = self.context.state().optimize(&plan).map_err(query_error)?;
        let mut columns: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let noted = plan.apply(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && let Some(table) = table_of_files(scan.table_name.table())
            {
                let read = columns.entry(table.to_owned()).or_default();
                read.extend(scan.projected_schema.fields().iter().map(|field| field.name().clone()));
            }
            Ok(TreeNodeRecursion::Continue)
        });
        noted.map_err(query_error)?;
        let read = |(table, columns): (String, BTreeSet<String>)| {
            let known = self.model().tables.get(&table)?;
            let Origin::Files { opened, .. } = &known.origin else { return None };
            let columns: Vec<String> = columns.into_iter().collect();
            Some(Read {
                files: opened.files.len(),
                bytes: opened.files.iter().map(|file| file.bytes).sum(),
                sizes: catalog::column_sizes(opened, &columns),
                table,
                columns,
            })
        };
        Ok(columns.into_iter().filter_map(read).collect())
    }
}
