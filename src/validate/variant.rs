//! Variants: a KPI narrowed to some of its rows, or over a window, as an input of another one.
//!
//! A variant is a KPI like any other, but without a definition of its own: the change goes down to the tables that it reads,
//! so that a ratio is narrowed on both sides and a window of a ratio is a ratio of windows.

use std::sync::Arc;

use datafusion::logical_expr::Expr;

use super::Problems;
use super::aggregate::Rows;
use super::kpis::{Checked, Context};
use crate::diagnostic::{Diagnostic, Span};
use crate::model::{Arithmetic, Input, Kpi, Placement, Shape, Subject, Window};
use crate::spec::Spanned;
use crate::time::Grain;

/// What is different in a variant.
pub(super) struct Change<'a> {
    pub conditions: Vec<&'a Spanned<String>>,
    pub window: Option<Window>,
    /// Where the window is written.
    pub place: Option<Span>,
}

pub(super) enum Varied {
    /// The name of the variant, or of the KPI itself where nothing is different.
    Ready(String),
    /// A table behind the conditions has no data.
    Missing(String),
    Broken,
}

/// The variant of a KPI, made if it is not there yet.
pub(super) fn variant(
    context: &Context,
    name: &str,
    change: &Change,
    all: &mut Checked,
    problems: &mut Problems,
) -> Varied {
    if change.conditions.is_empty() && change.window.is_none() {
        return Varied::Ready(name.to_owned());
    }
    let Some(kpi) = all.ready.get(name).cloned() else { return Varied::Broken };
    let own_name = format!("{name}{}", describe(change));
    if all.ready.contains_key(&own_name) {
        return Varied::Ready(own_name);
    }
    let mut below = |name: &str| variant(context, name, change, all, problems);
    let shape = match &kpi.shape {
        Shape::Aggregate(aggregate) => {
            let mut aggregate = aggregate.as_ref().clone();
            let mut rows = Rows::of(context, &aggregate.table);
            let before = problems.count();
            for text in &change.conditions {
                let condition = rows.condition(text, "`where`", problems);
                aggregate.condition = aggregate.condition.into_iter().chain(condition).reduce(Expr::and);
            }
            if let Some(table) = rows.missing {
                return Varied::Missing(table);
            }
            if problems.count() > before {
                return Varied::Broken;
            }
            let more_joins = rows.joins.clone();
            aggregate.joins.extend(more_joins);
            if let Some(window) = change.window {
                if let Some(reason) = why_no_window(&kpi, &aggregate.placement, &aggregate.subject) {
                    problems.add(
                        Diagnostic::error("window-not-meant", reason)
                            .at(change.place.unwrap_or(Span { file: crate::diagnostic::FileId(0), start: 0, end: 0 }))
                            .hint("leave the window out, or leave this KPI out of the value"),
                    );
                    return Varied::Broken;
                }
                aggregate.placement = Placement::Window(window);
            }
            Shape::Aggregate(Box::new(aggregate))
        }
        Shape::Arithmetic(arithmetic) => {
            let mut inputs = Vec::new();
            for input in &arithmetic.inputs {
                match below(&input.kpi) {
                    Varied::Ready(name) => inputs.push(Input { kpi: name, ..input.clone() }),
                    other => return other,
                }
            }
            Shape::Arithmetic(Arithmetic { inputs, value: arithmetic.value.clone() })
        }
        Shape::Composite(_) | Shape::Query(_) => {
            let place = change.conditions.first().map(|text| text.span).or(change.place);
            let cannot = "which can be neither narrowed nor put over a window from outside";
            let (diagnostic, hint) = match &kpi.shape {
                Shape::Query(_) => (
                    Diagnostic::error("query-as-it-is", format!("`{name}` is one query, {cannot}")),
                    "put the condition or the window into its query",
                ),
                _ => (
                    Diagnostic::error("index-as-it-is", format!("`{name}` measures KPIs by their targets, {cannot}")),
                    "narrow the parts, and their targets with them",
                ),
            };
            problems.add(match place {
                Some(place) => diagnostic.at(place).hint(hint),
                None => diagnostic,
            });
            return Varied::Broken;
        }
    };
    let changed = Kpi {
        name: own_name.clone(),
        variant_of: Some(kpi.variant_of.clone().unwrap_or_else(|| kpi.name.clone())),
        shape,
        dimension_sets: vec![kpi.required_dimensions.clone()],
        ..kpi.as_ref().clone()
    };
    all.add(Arc::new(changed));
    Varied::Ready(own_name)
}

/// Why a KPI means nothing over a window.
fn why_no_window(kpi: &Kpi, placement: &Placement, subject: &Subject) -> Option<String> {
    let name = &kpi.name;
    match (placement, subject) {
        (Placement::Stock(_) | Placement::Boundaries(_), _) => {
            Some(format!("`{name}` is read at an instant, and levels are never added up over time"))
        }
        (Placement::Window(_), _) => Some(format!("`{name}` has a window already")),
        (Placement::Event, Subject::Cohorts(_)) => {
            Some(format!("`{name}` looks at cohorts by their age and not at a window"))
        }
        (Placement::Event, Subject::Conversions(conversions)) => {
            let counts_conversions = kpi.aggregate().is_some_and(|aggregate| aggregate.time != conversions.base_time);
            counts_conversions
                .then(|| format!("`{name}` counts each conversion in its own period, and in no later one"))
        }
        (Placement::Event, _) => None,
    }
}

/// What tells a variant from the KPI, in words that no name holds.
fn describe(change: &Change) -> String {
    let mut words = String::new();
    for condition in &change.conditions {
        words.push_str(" where ");
        words.push_str(condition.value.trim());
    }
    match change.window {
        None => {}
        Some(Window::All) => words.push_str(" since the beginning"),
        Some(Window::ToDate(Grain::Day)) => words.push_str(" of the day"),
        Some(Window::ToDate(unit)) => words.push_str(&format!(" {unit} to date")),
        Some(Window::Trailing(length)) => words.push_str(&format!(" over {} {}", length.count, length.unit)),
    }
    words
}
