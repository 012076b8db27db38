//! The fingerprint of a KPI: it changes whenever the value may. It is no digest of the files; comments may change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::kpis::Context;
use crate::model::{Goal, JoinPath, Kpi, Shape, Subject, Target};

/// What a value depends on, as a digest. Labels and descriptions are not in it.
pub(super) fn fingerprint(context: &Context, kpi: &Kpi, ready: &BTreeMap<String, Arc<Kpi>>) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut put = |text: &str| {
        hasher.update(text.as_bytes());
        hasher.update(b"\0");
    };
    // Raised when a version of kpi computes the same definition differently.
    put("meaning 2");
    put(&format!("{:?}", context.project.calendar));
    put(&format!("{:?} {:?} {:?}", kpi.grains, kpi.dimension_sets, kpi.required_dimensions));
    let target = kpi.target.as_ref().map(|target| (&target.goal, target.from, target.until));
    put(&format!("{:?} {:?} {:?} {:?} {:?}", target, kpi.better, kpi.minimum_n, kpi.unit, kpi.ripens));
    let table = |name: &str| {
        let table = context.tables.ready(name);
        table.map_or_else(String::new, |table| format!("{} {} {:?}", table.name, table.fingerprint, table.freshness))
    };
    if let Some(Target { goal: Goal::Table { table: targets, .. }, .. }) = &kpi.target {
        put(&table(&targets.table));
    }
    match &kpi.shape {
        Shape::Aggregate(aggregate) => {
            let of_dimensions = aggregate.dimensions.values().flat_map(|dimension| &dimension.joins);
            rows_of(&aggregate.table, aggregate.joins.iter().chain(of_dimensions), context)
                .iter()
                .for_each(|text| put(text));
            put(&format!("{} {:?} {}", aggregate.time, aggregate.condition, aggregate.fill_zero));
            aggregate.measures.iter().for_each(|measure| put(&format!("{measure:?}")));
            aggregate.dimensions.iter().for_each(|(name, dimension)| put(&format!("{name} {}", dimension.expression)));
            put(&aggregate.value.expression.to_string());
            put(&format!("{:?} {:?}", aggregate.placement, aggregate.subject));
            if let Subject::Conversions(conversions) = &aggregate.subject {
                rows_of(&conversions.table, conversions.joins.iter(), context).iter().for_each(|text| put(text));
            }
        }
        Shape::Arithmetic(arithmetic) => {
            arithmetic.inputs.iter().for_each(|input| put(&format!("{input:?}")));
            put(&arithmetic.value.expression.to_string());
        }
        Shape::Composite(composite) => put(&format!("{composite:?}")),
        Shape::Query(query) => {
            query.tables.iter().for_each(|name| put(&table(name)));
            query.plans.values().for_each(|plans| put(&plans.by_name.display_indent_schema().to_string()));
        }
    }
    for input in kpi.inputs() {
        put(ready.get(input).map_or("", |kpi| kpi.fingerprint.as_str()));
    }
    hasher.finalize().to_hex().to_string()
}

/// What the rows of a table with their joins depend on.
fn rows_of<'a>(table: &str, joins: impl Iterator<Item = &'a JoinPath>, context: &Context) -> Vec<String> {
    let mut texts = Vec::new();
    for path in joins.cloned().chain([vec![]]).collect::<BTreeSet<JoinPath>>() {
        if let Some(at) = context.tables.table_at(table, &path) {
            texts.push(format!("{} {} {path:?} {:?}", at.name, at.fingerprint, at.freshness));
        }
        if let Some((last, before)) = path.split_last()
            && let Some(from) = context.tables.table_at(table, before)
        {
            texts.push(format!("{:?}", from.joins.get(last)));
        }
    }
    texts
}
