//! Many KPIs, few scans: which KPIs are computed, at which cells, and which of them share a pass over their table.
//!
//! Nothing runs here, and no value depends on what is decided here.

mod fuse;

use std::collections::{BTreeMap, BTreeSet};

use crate::compile::Cell;
use crate::model::{Model, Shape};

pub use fuse::{FusedLeaves, Pass, PassRows};

/// What a run computes.
#[derive(Debug, Clone)]
pub struct RunPlan {
    /// Scans that several KPIs share.
    pub passes: Vec<Pass>,
    /// The KPIs whose results are wanted, inputs before those that use them, with their cells.
    pub kpis: Vec<(String, Vec<Cell>)>,
}

/// Plans the computation of `wanted`, or of all KPIs.
pub fn plan(model: &Model, wanted: Option<&BTreeSet<String>>) -> RunPlan {
    let is_wanted = |name: &String| wanted.is_none_or(|wanted| wanted.contains(name));
    let kpis: Vec<(String, Vec<Cell>)> =
        (model.order.iter().filter(|name| is_wanted(name))).map(|name| (name.clone(), cells(model, name))).collect();
    let needed = needed_cells(model, &kpis);
    let looked_back = looked_back(model, &needed);
    RunPlan { passes: fuse::passes(model, &needed, &looked_back), kpis }
}

/// Every grain of a KPI with every one of its dimension sets.
fn cells(model: &Model, name: &str) -> Vec<Cell> {
    let kpi = &model.kpis[name];
    let sets = |grain| kpi.dimension_sets.iter().map(move |set| Cell { grain, dimensions: set.clone() });
    kpi.grains.iter().flat_map(|grain| sets(*grain)).collect()
}

/// The cells of every KPI that is wanted or stands below one that is.
fn needed_cells(model: &Model, kpis: &[(String, Vec<Cell>)]) -> BTreeMap<String, BTreeSet<Cell>> {
    let mut needed: BTreeMap<String, BTreeSet<Cell>> =
        kpis.iter().map(|(name, cells)| (name.clone(), cells.iter().cloned().collect())).collect();
    for name in model.order.iter().rev() {
        let Some(cells) = needed.get(name).cloned() else { continue };
        for input in model.kpis[name].inputs() {
            needed.entry(input.to_owned()).or_default().extend(cells.iter().cloned());
        }
    }
    needed
}

/// The KPIs that something reads as they were earlier, and all below them.
fn looked_back(model: &Model, needed: &BTreeMap<String, BTreeSet<Cell>>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for name in model.order.iter().rev().filter(|name| needed.contains_key(*name)) {
        let Shape::Arithmetic(arithmetic) = &model.kpis[name].shape else { continue };
        let is_found = found.contains(name);
        let inputs = arithmetic.inputs.iter().filter(|input| is_found || input.previous.is_some());
        found.extend(inputs.map(|input| input.kpi.clone()));
    }
    found
}
