//! Many KPIs, few scans: which KPIs are computed, at which cells, and which of them share a pass over their table.
//!
//! Nothing runs here, and no value depends on what is decided here; how far a change of the data reaches is said in `touched`,
//! where too much is allowed and too little would be a wrong value.

mod fuse;
mod rows;
mod touched;

use std::collections::{BTreeMap, BTreeSet};

use crate::compile::{Cell, Members, input_cell};
use crate::days::DayRanges;
use crate::model::{Goal, Input, Kpi, Model, Shape, Target, can_be_asked};

pub use fuse::{FusedLeaves, Pass, PassRows, why_not_fused};
pub use rows::{KeptRows, SharedRows};
pub use touched::{ByGrain, Change, is_filled_by_member, touched};

/// What a run computes.
#[derive(Debug, Clone)]
pub struct RunPlan {
    /// Scans that several KPIs share.
    pub passes: Vec<Pass>,
    /// Rows that the others look at.
    pub rows: Vec<SharedRows>,
    /// The KPIs whose results are wanted, inputs before those that use them.
    pub kpis: Vec<Wanted>,
    /// The days whose rows the aggregates are made of; of those that are missing, all.
    pub days: BTreeMap<String, DayRanges>,
    /// Members of KPIs of which not all rows are read.
    pub members: Members,
}

/// A KPI whose results are wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub name: String,
    pub cells: Vec<Cell>,
    /// Where only some of its periods are: the days of these.
    pub only: Option<ByGrain>,
}

/// Plans the computation of `wanted`, or of all KPIs; of those in `only`, of some periods.
pub fn plan(model: &Model, wanted: Option<&BTreeSet<String>>, only: &BTreeMap<String, ByGrain>) -> RunPlan {
    let is_wanted = |name: &String| match wanted {
        Some(wanted) => wanted.contains(name),
        None => model.kpis[name].variant_of.is_none(),
    };
    let wanted =
        |name: &String| Wanted { name: name.clone(), cells: cells(model, name), only: only.get(name).cloned() };
    let kpis: Vec<Wanted> = model.order.iter().filter(|name| is_wanted(name)).map(wanted).collect();
    let needed = needed_cells(model, &kpis);
    let days = touched::days_read(model, &kpis);
    let looked_back = looked_back(model, &needed);
    let passes = fuse::passes(model, &needed, &looked_back, &days);
    let fused = passes.iter().flat_map(|pass| pass.kpis.iter().cloned()).collect();
    let rows = rows::shared_rows(model, &needed, &fused, &days);
    RunPlan { passes, rows, kpis, days, members: Members::new() }
}

/// Every grain of a KPI with every one of its dimension sets.
pub fn cells(model: &Model, name: &str) -> Vec<Cell> {
    let kpi = &model.kpis[name];
    let sets = |grain| kpi.dimension_sets.iter().map(move |set| Cell { grain, dimensions: set.clone() });
    kpi.grains.iter().flat_map(|grain| sets(*grain)).collect()
}

/// The cells of every KPI that is wanted or stands below one that is.
fn needed_cells(model: &Model, kpis: &[Wanted]) -> BTreeMap<String, BTreeSet<Cell>> {
    let mut needed: BTreeMap<String, BTreeSet<Cell>> =
        kpis.iter().map(|kpi| (kpi.name.clone(), kpi.cells.iter().cloned().collect())).collect();
    for name in model.order.iter().rev() {
        let Some(cells) = needed.get(name).cloned() else { continue };
        for (input, cells) in read_by(model, &model.kpis[name], &cells) {
            needed.entry(input).or_default().extend(cells);
        }
    }
    needed
}

/// The cells at which a KPI reads those that it is computed from or judged by.
fn read_by(model: &Model, kpi: &Kpi, cells: &BTreeSet<Cell>) -> Vec<(String, BTreeSet<Cell>)> {
    let cells_of = |input: &Input| -> BTreeSet<Cell> {
        cells.iter().map(|cell| input_cell(&model.kpis[&input.kpi], input, cell)).collect()
    };
    let mut read: Vec<(String, BTreeSet<Cell>)> = match &kpi.shape {
        Shape::Aggregate(_) | Shape::Query(_) => Vec::new(),
        Shape::Arithmetic(arithmetic) => {
            arithmetic.inputs.iter().map(|input| (input.kpi.clone(), cells_of(input))).collect()
        }
        Shape::Composite(composite) => composite.parts.iter().map(|part| (part.kpi.clone(), cells.clone())).collect(),
    };
    // Rows by a dimension that the wanted KPI does not have have no target.
    let wanted = |target: &str| -> (String, BTreeSet<Cell>) {
        let knows = |cell: &&Cell| can_be_asked(model, &model.kpis[target], &cell.dimensions);
        (target.to_owned(), cells.iter().filter(knows).cloned().collect())
    };
    if let Some(Target { goal: Goal::Kpi { kpi, .. }, .. }) = &kpi.target {
        read.push(wanted(kpi));
    }
    // Where an input has a target of its own, an index reads that as well.
    if let Shape::Composite(composite) = &kpi.shape {
        for part in &composite.parts {
            if let Some(Target { goal: Goal::Kpi { kpi, .. }, .. }) = &model.kpis[&part.kpi].target {
                read.push(wanted(kpi));
            }
        }
    }
    read
}

/// The KPIs that something reads as they were earlier, and all below them.
fn looked_back(model: &Model, needed: &BTreeMap<String, BTreeSet<Cell>>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for name in model.order.iter().rev().filter(|name| needed.contains_key(*name)) {
        let kpi = &model.kpis[name];
        let is_found = found.contains(name);
        match &kpi.shape {
            Shape::Aggregate(_) | Shape::Query(_) => {}
            Shape::Arithmetic(arithmetic) => {
                let inputs = arithmetic.inputs.iter().filter(|input| is_found || input.earlier.is_some());
                found.extend(inputs.map(|input| input.kpi.clone()));
            }
            Shape::Composite(composite) if is_found => {
                found.extend(composite.parts.iter().map(|part| part.kpi.clone()));
            }
            Shape::Composite(_) => {}
        }
        if is_found && let Some(Target { goal: Goal::Kpi { kpi, .. }, .. }) = &kpi.target {
            found.insert(kpi.clone());
        }
    }
    found
}
