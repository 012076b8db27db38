//! What cannot run because files or columns are absent: KPIs that need them are skipped, breakdowns that do are left out,
//! and so are tables and joins.
//!
//! Everything was checked before as if it were there. What is left in the model has all that it needs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::kpis::Context;
use super::reads;
use super::tables::{State, Tables};
use crate::model::{Join, Kpi, Lacks, LeftOut, Need, Origin, Reads, Shape, Skipped, Table};

/// The KPIs that have all they need, those that have not, and the breakdowns that are left out of the former.
pub(super) struct Sorted {
    pub kpis: Vec<Arc<Kpi>>,
    pub skipped: Vec<Skipped>,
    pub left_out: BTreeMap<String, Vec<LeftOut>>,
}

/// Takes away what lacks something. The KPIs come in the order of their dependencies.
pub(super) fn sort_out(context: &Context, ordered: Vec<Arc<Kpi>>) -> Sorted {
    let mut all: BTreeMap<String, Arc<Kpi>> = BTreeMap::new();
    let mut sorted = Sorted { kpis: Vec::new(), skipped: Vec::new(), left_out: BTreeMap::new() };
    for kpi in ordered {
        let mut kpi = kpi.as_ref().clone();
        kpi.reads = reads::of_kpi(context, &kpi, &all);
        let kpi = Arc::new(kpi);
        all.insert(kpi.name.clone(), kpi.clone());
        let needs = needs(context.tables, &kpi.reads);
        if needs.is_empty() {
            sorted.kpis.push(kpi);
        } else if kpi.variant_of.is_none() {
            let reason = reason(context.tables, &needs);
            sorted.skipped.push(Skipped { kpi: kpi.name.clone(), reason, needs, reads: kpi.reads.clone() });
        }
    }
    for kpi in &mut sorted.kpis {
        let left_out = without_dimensions(context, kpi, &all);
        if !left_out.is_empty() {
            sorted.left_out.insert(kpi.name.clone(), left_out);
        }
    }
    sorted
}

/// Takes the breakdowns away that lack something.
fn without_dimensions(context: &Context, kpi: &mut Arc<Kpi>, all: &BTreeMap<String, Arc<Kpi>>) -> Vec<LeftOut> {
    let names: BTreeSet<&String> = kpi.dimension_sets.iter().flatten().collect();
    let lacking: BTreeMap<String, BTreeMap<String, Need>> = (names.into_iter())
        .map(|name| (name.clone(), needs(context.tables, &reads::of_dimension(context, kpi, name, all))))
        .filter(|(_, needs)| !needs.is_empty())
        .collect();
    let of_shape = |name: &String| needs(context.tables, &reads::of_dimension(context, kpi, name, all)).is_empty();
    let unknown: Vec<String> = match &kpi.shape {
        Shape::Aggregate(aggregate) => aggregate.dimensions.keys().filter(|name| !of_shape(name)).cloned().collect(),
        Shape::Arithmetic(_) | Shape::Composite(_) | Shape::Query(_) => Vec::new(),
    };
    if lacking.is_empty() && unknown.is_empty() {
        return Vec::new();
    }
    let changed = Arc::make_mut(kpi);
    if let Shape::Aggregate(aggregate) = &mut changed.shape {
        aggregate.dimensions.retain(|name, _| !unknown.contains(name));
    }
    let mut left_out = Vec::new();
    changed.dimension_sets.retain(|set| {
        let mut needs: BTreeMap<String, Need> = BTreeMap::new();
        for (table, need) in set.iter().filter_map(|name| lacking.get(name)).flatten() {
            let entry = needs.entry(table.clone()).or_insert_with(|| need.clone());
            entry.columns.extend(need.columns.iter().cloned());
        }
        if !needs.is_empty() {
            let reason = reason(context.tables, &needs);
            left_out.push(LeftOut { dimensions: set.clone(), reason, needs: needs.clone() });
        }
        needs.is_empty()
    });
    left_out
}

/// What is lacking of what is read, by table.
pub(super) fn needs(tables: &Tables, reads: &Reads) -> BTreeMap<String, Need> {
    let mut needs = BTreeMap::new();
    for (name, columns) in reads {
        let Some(table) = tables.ready(name) else { continue };
        let lacking = columns.iter().filter_map(|column| table.lacks.columns.get(column));
        let lacking: BTreeSet<String> = lacking.flatten().cloned().collect();
        let is_absent = table.lacks.files.is_some();
        if is_absent || !lacking.is_empty() {
            needs.insert(name.clone(), Need { is_absent, columns: lacking });
        }
    }
    needs
}

/// Why something is left out, in one line.
pub(super) fn reason(tables: &Tables, needs: &BTreeMap<String, Need>) -> String {
    let mut parts = Vec::new();
    for (name, need) in needs {
        let columns = Vec::from_iter(need.columns.iter().map(String::as_str)).join(", ");
        let table = tables.ready(name);
        let why = table.and_then(|table| table.lacks.files.as_deref());
        let is_query = table.is_some_and(|table| matches!(table.origin, Origin::Query { .. }));
        parts.push(match (why, columns.is_empty()) {
            (Some(why), true) => format!("table `{name}`, and {why}"),
            (Some(why), false) => format!("table `{name}` ({columns}), and {why}"),
            (None, _) if is_query => format!("{columns} in table `{name}`, which its query does not give"),
            (None, _) => format!("{columns} in table `{name}`, which its files lack"),
        });
    }
    format!("it needs {}", parts.join("; "))
}

/// The tables that have all they need, with the joins that lead to such.
pub(super) fn usable(tables: &Tables) -> BTreeMap<String, Arc<Table>> {
    let is_usable = |table: &Table| table.lacks.files.is_none() && needs(tables, &table.reads).is_empty();
    let mut usable: BTreeMap<String, Arc<Table>> = BTreeMap::new();
    for (name, state) in &tables.states {
        if let State::Ready(table) = state
            && is_usable(table)
        {
            usable.insert(name.clone(), table.clone());
        }
    }
    let names: BTreeSet<String> = usable.keys().cloned().collect();
    for table in usable.values_mut() {
        let leads_nowhere = |join: &Join| {
            let target = tables.ready(&join.table);
            let lacks = |table: &Table, column: &str| table.lacks(column);
            !names.contains(&join.table)
                || join
                    .on
                    .iter()
                    .any(|(here, there)| lacks(table, here) || target.is_some_and(|target| lacks(target, there)))
        };
        let gone: Vec<String> =
            table.joins.iter().filter(|(_, join)| leads_nowhere(join)).map(|(name, _)| name.clone()).collect();
        if !gone.is_empty() {
            Arc::make_mut(table).joins.retain(|name, _| !gone.contains(name));
        }
    }
    usable
}

/// What each table lacks, of those that lack something.
pub(super) fn lacks(tables: &Tables) -> BTreeMap<String, Lacks> {
    let of_state = |state: &State| match state {
        State::Ready(table) if table.lacks != Lacks::default() => Some(table.lacks.clone()),
        State::Absent(reason) => Some(Lacks { files: Some(reason.clone()), columns: BTreeMap::new() }),
        State::Ready(_) | State::Broken => None,
    };
    tables.states.iter().filter_map(|(name, state)| Some((name.clone(), of_state(state)?))).collect()
}
