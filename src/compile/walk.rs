//! The frames of levels and windows walked through by an operator of our own, in the place of joins with them.
//!
//! Which rows come and go is decided in `placement`, as is when joins are taken instead: where a measure cannot be taken away
//! again, and where the walk does not fit into memory. Both give the same rows.

use chrono::NaiveDate;
use datafusion::common::Result;
use datafusion::functions::expr_fn::coalesce;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, cast, lit};

use super::placement::{COUNTED, Counted, Periods, VALUE_COUNTED, counted_value, first_and_last};
use super::{PERIOD_START, Way, column, of};
use crate::frames::{FrameDays, FrameMeasure, FramesNode, Function, Span, can_be_taken_away};
use crate::model::{Aggregate, At, Measure, MeasureFunction, ROWS, Window, measure_expression};
use crate::time::{from_epoch_days, to_epoch_days};

/// A measure in the frames of one span, under a name.
pub(super) struct Walked<'m> {
    pub measure: &'m Measure,
    pub name: String,
    pub span: usize,
}

/// Whether operators of our own are wanted, and measures can be taken away again, so that frames can be walked through.
pub(super) fn can_walk(periods: Periods, measures: &[Measure]) -> bool {
    let is_fit = |measure: &Measure| match measure.function {
        MeasureFunction::Count | MeasureFunction::CountDistinct => true,
        MeasureFunction::Sum => can_be_taken_away(&measure.data_type),
        _ => false,
    };
    let counts_values = measures.iter().any(|measure| measure.function == MeasureFunction::CountDistinct);
    periods.way == Way::Operators
        && measures.iter().all(is_fit)
        && (!counts_values || counted_value(measures).is_some())
}

/// All measures of rows, and their number, in the frames of the only span.
pub(super) fn walk_in_one_span(counted: Counted, stay: [&str; 2], days: FrameDays) -> Result<LogicalPlanBuilder> {
    let measures = counted.measures.iter().map(|measure| Walked { measure, name: measure.name.clone(), span: 0 });
    walk(counted.plan, stay, &counted.keys, measures.collect(), vec![(ROWS.to_owned(), 0)], days)
}

/// The measures of each frame and key, and numbers of rows under names of their own, the last of them of all rows. `stay` are
/// the columns that say when a row comes and goes, the same one where it counts by its day; a row that never comes is left out,
/// as joins leave it out. Rows that come and go together are added up first.
pub(super) fn walk(
    plan: LogicalPlanBuilder,
    stay: [&str; 2],
    keys: &[(String, Expr)],
    measures: Vec<Walked>,
    counts: Vec<(String, usize)>,
    days: FrameDays,
) -> Result<LogicalPlanBuilder> {
    let own: Vec<Measure> = measures.iter().map(|walked| walked.measure.clone()).collect();
    let value = counted_value(&own).cloned();
    let mut groups: Vec<Expr> =
        stay[..if stay[0] == stay[1] { 1 } else { 2 }].iter().map(|name| of(COUNTED, name).alias(*name)).collect();
    groups.extend(keys.iter().map(|(name, key)| key.clone().alias(name)));
    groups.extend(value.iter().map(|value| value.clone().alias(VALUE_COUNTED)));
    let mut parts: Vec<Expr> = Vec::new();
    for measure in &own {
        let (function, arguments) = match measure.function {
            MeasureFunction::CountDistinct => (MeasureFunction::Count, Vec::new()),
            adds_up => (adds_up, measure.arguments.clone()),
        };
        let part = measure_expression(function, arguments, measure.filter.clone()).alias(&measure.name);
        // Both ends of a period ask for the same.
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    parts.push(measure_expression(MeasureFunction::Count, Vec::new(), None).alias(ROWS));
    let comes = of(COUNTED, stay[0]).is_not_null();
    let together = plan.filter(comes)?.aggregate(groups, parts)?.alias(COUNTED)?;
    let mut columns: Vec<Expr> =
        [PERIOD_START].into_iter().chain(keys.iter().map(|(name, _)| name.as_str())).map(column).collect();
    let mut walked = Vec::new();
    for Walked { measure, name, span } in measures {
        let part = of(COUNTED, &measure.name);
        let function = match measure.function {
            MeasureFunction::CountDistinct => Function::CountDistinct(of(COUNTED, VALUE_COUNTED), part),
            _ => Function::Sum(part),
        };
        let value = cast(column(&name), measure.data_type.clone());
        let value = if measure.function.is_count() { coalesce(vec![value, lit(0_i64)]) } else { value };
        columns.push(value.alias(&name));
        walked.push(FrameMeasure { name, function, span });
    }
    for (name, span) in counts {
        columns.push(coalesce(vec![column(&name), lit(0_i64)]).alias(&name));
        walked.push(FrameMeasure { name, function: Function::Sum(of(COUNTED, ROWS)), span });
    }
    let keys = keys.iter().map(|(name, _)| (name.clone(), of(COUNTED, name))).collect();
    let stay = (of(COUNTED, stay[0]), of(COUNTED, stay[1]));
    let plan = FramesNode::plan(together.build()?, PERIOD_START, stay, keys, walked, days)?;
    LogicalPlanBuilder::from(plan).project(columns)
}

/// The periods that the data covers.
pub(super) fn starts(periods: Periods) -> Result<Vec<i32>> {
    let Some((first, last)) = first_and_last(periods)? else { return Ok(Vec::new()) };
    let next = |start: &NaiveDate| periods.calendar().shift(*start, periods.grain, 1);
    let starts = std::iter::successors(Some(first), next).take_while(|start| *start <= last);
    Ok(starts.map(to_epoch_days).collect())
}

/// Whoever comes is there from this boundary on, and whoever goes is not there from that one on.
pub(super) fn level_span(starts: &[i32], comes: At, goes: At) -> Span {
    // At the start is who came before; at the end, who came up to then.
    let at = |boundary: At| match boundary {
        At::Start => starts.iter().map(|start| start - 1).collect(),
        At::End => starts.to_vec(),
    };
    Span { comes: at(comes), goes: at(goes) }
}

/// A row counts in the windows that hold its day: from the first one that ends behind it up to the last one that begins on it
/// or before.
pub(super) fn window_span(starts: &[i32], window: Window, periods: Periods) -> Span {
    let calendar = periods.calendar();
    // Without a last day there are no periods either.
    let last = periods.view.last().unwrap_or(NaiveDate::MIN);
    let behind = last.succ_opt().unwrap_or(last);
    let (mut comes, mut goes) = (Vec::new(), Vec::new());
    for start in starts {
        let next = from_epoch_days(*start).and_then(|start| calendar.shift(start, periods.grain, 1));
        let end = next.map_or(behind, |next| next.min(behind));
        let begin = match window {
            Window::Trailing(length) => length.before(end),
            Window::ToDate(unit) => end.pred_opt().and_then(|day| calendar.period_start(day, unit)),
            Window::All => None,
        };
        comes.push(to_epoch_days(end) - 1);
        goes.push(begin.map_or(i32::MIN, |begin| to_epoch_days(begin) - 1));
    }
    Span { comes, goes }
}

/// Windows of rows that are added up by day already, as [`walk`] gives them.
pub(super) fn walk_days(
    days: LogicalPlanBuilder,
    aggregate: &Aggregate,
    keys: Vec<(String, Expr)>,
    frames: FrameDays,
) -> Result<LogicalPlanBuilder> {
    let sum = |name: &str| FrameMeasure { name: name.to_owned(), function: Function::Sum(of(COUNTED, name)), span: 0 };
    let measures = aggregate.measures.iter().map(|measure| sum(&measure.name)).chain([sum(ROWS)]).collect();
    let day = of(COUNTED, PERIOD_START);
    let days = days.filter(day.clone().is_not_null())?.build()?;
    Ok(FramesNode::plan(days, PERIOD_START, (day.clone(), day), keys, measures, frames)?.into())
}
