//! Puts rows into the periods in which they count, and aggregates them: an event in its own period, an event in every
//! period whose window holds it, a row in every period at whose start or end it is there.
//!
//! There are two ways: joins with the periods, which DataFusion does alone, and where it can be done a walk through them
//! (`walk`), which is faster. What is aggregated is not decided here. A window ends with its period, or with the last day
//! known of an open one, and a level of an open period is read on that day.

use chrono::{Days, NaiveDate};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::functions::expr_fn::least;
use datafusion::functions_aggregate::expr_fn::{max, min, sum};
use datafusion::logical_expr::{Expr, JoinType, LogicalPlanBuilder, cast, lit, when};

use super::aggregate::{out_of_range, periods as known_periods};
use super::bounds::date;
use super::walk::{Walked, can_walk, level_span, starts, walk, walk_days, walk_in_one_span, window_span};
use super::{Cell, PERIOD_START, View, Way, column, day_of, next_period, of, period_of};
use crate::catalog::known_days;
use crate::frames::FrameDays;
use crate::model::{
    Aggregate, At, CLOSING, Length, Measure, MeasureFunction, Model, OPENING, Placement, ROWS, Stock, Window,
    boundary_column, measure_expression,
};
use crate::time::{Calendar, Grain};

/// Rows that count, with what is grouped and aggregated as expressions over them.
pub struct Counted {
    pub plan: LogicalPlanBuilder,
    /// What the rows are grouped by, beside the period.
    pub keys: Vec<(String, Expr)>,
    pub measures: Vec<Measure>,
    pub time: Expr,
    pub time_type: DataType,
}

/// One row for each period and key: `period_start`, the keys and measures by name, and `rows`. Of two boundaries each measure
/// is there twice, as is the number of rows.
pub(super) fn place(counted: Counted, placement: &Placement, periods: Periods) -> Result<LogicalPlanBuilder> {
    match placement {
        Placement::Event => events(periods.calendar(), counted, periods.grain),
        Placement::Window(window) => windows(counted, *window, periods),
        Placement::Stock(stock) => levels(counted, stock, periods),
        Placement::Boundaries(stock) => boundaries(counted, stock, periods),
    }
}

/// The periods that rows are put into.
#[derive(Clone, Copy)]
pub(super) struct Periods<'a> {
    pub model: &'a Model,
    pub grain: Grain,
    pub view: View,
    pub way: Way,
}

impl<'a> Periods<'a> {
    pub fn calendar(&self) -> &'a Calendar {
        &self.model.project.calendar
    }
}

fn events(calendar: &Calendar, counted: Counted, grain: Grain) -> Result<LogicalPlanBuilder> {
    let day = day_of(&counted.time, &counted.time_type, calendar);
    let mut groups = vec![period_of(day, grain, calendar).alias(PERIOD_START)];
    groups.extend(counted.keys.iter().map(|(name, key)| key.clone().alias(name)));
    counted.plan.aggregate(groups, aggregates(&counted.measures))
}

/// A measure over rows, by its name.
pub(super) fn measured(measure: &Measure) -> Expr {
    measure_expression(measure.function, measure.arguments.clone(), measure.filter.clone()).alias(&measure.name)
}

/// The measures and the number of rows.
pub(super) fn aggregates(measures: &[Measure]) -> Vec<Expr> {
    measures
        .iter()
        .map(measured)
        .chain([measure_expression(MeasureFunction::Count, Vec::new(), None).alias(ROWS)])
        .collect()
}

fn windows(counted: Counted, window: Window, periods: Periods) -> Result<LogicalPlanBuilder> {
    let day = day_of(&counted.time, &counted.time_type, periods.calendar());
    let counted = computed(counted, vec![(DAY, day)])?;
    if can_walk(periods, &counted.measures) {
        let starts = starts(periods)?;
        let spans = vec![window_span(&starts, window, periods)];
        return walk_in_one_span(counted, [DAY, DAY], FrameDays { starts, spans });
    }
    let frames = frames(Some(window), periods)?;
    let is_inside = inside(window, of(COUNTED, DAY));
    let joined = counted.plan.join_on(frames.build()?, JoinType::Inner, is_inside)?;
    measured_by_frame(joined, &counted.keys, &counted.measures)
}

/// The windows of rows that are added up by day already: `period_start` is their day.
pub(super) fn windows_of_days(
    days: LogicalPlanBuilder,
    aggregate: &Aggregate,
    window: Window,
    cell: &Cell,
    periods: Periods,
) -> Result<LogicalPlanBuilder> {
    let days = days.alias(COUNTED)?;
    let keys: Vec<(String, Expr)> = cell.dimensions.iter().map(|name| (name.clone(), of(COUNTED, name))).collect();
    let plan = if can_walk(periods, &aggregate.measures) {
        let starts = starts(periods)?;
        let spans = vec![window_span(&starts, window, periods)];
        walk_days(days, aggregate, keys, FrameDays { starts, spans })?
    } else {
        let frames = frames(Some(window), periods)?;
        let joined = days.join_on(frames.build()?, JoinType::Inner, inside(window, of(COUNTED, PERIOD_START)))?;
        grouped_by_frame(joined, &keys, whole_of_parts(&aggregate.measures))?
    };
    with_types_of(plan, &aggregate.measures, cell.dimensions.iter().map(String::as_str))
}

/// Measures and the number of rows from parts that have them by name.
fn whole_of_parts(measures: &[Measure]) -> Vec<Expr> {
    let measures =
        measures.iter().map(|measure| rolled_up(measure.function, of(COUNTED, &measure.name)).alias(&measure.name));
    measures.chain([rolled_up(MeasureFunction::Count, of(COUNTED, ROWS)).alias(ROWS)]).collect()
}

/// The whole of a measure from its parts, where it adds up.
pub fn rolled_up(function: MeasureFunction, part: Expr) -> Expr {
    match function {
        MeasureFunction::Min => min(part),
        MeasureFunction::Max => max(part),
        _ => sum(part),
    }
}

/// The sum of parts may have a wider type than the whole had.
pub fn with_types_of<'k>(
    plan: LogicalPlanBuilder,
    measures: &[Measure],
    keys: impl Iterator<Item = &'k str>,
) -> Result<LogicalPlanBuilder> {
    let mut columns: Vec<Expr> = [PERIOD_START].into_iter().chain(keys).map(column).collect();
    columns.extend(
        measures.iter().map(|measure| cast(column(&measure.name), measure.data_type.clone()).alias(&measure.name)),
    );
    columns.push(column(ROWS));
    plan.project(columns)
}

fn levels(counted: Counted, stock: &Stock, periods: Periods) -> Result<LogicalPlanBuilder> {
    let counted = stays(counted, stock, periods)?;
    if can_walk(periods, &counted.measures) {
        let starts = starts(periods)?;
        let spans = vec![level_span(&starts, stock.at, stock.at)];
        return walk_in_one_span(counted, [ENTERED, LEFT], FrameDays { starts, spans });
    }
    let is_there = match stock.at {
        At::Start => is_there_before(),
        At::End => is_there_at_the_end(),
    };
    let frames = frames(None, periods)?.build()?;
    if !counted.measures.iter().all(|measure| measure.function.adds_up()) {
        let joined = counted.plan.join_on(frames, JoinType::Inner, [is_there])?;
        return measured_by_frame(joined, &counted.keys, &counted.measures);
    }
    // Rows that came and went together are added up before they meet the periods: there are few of those groups.
    let mut groups = vec![of(COUNTED, ENTERED).alias(ENTERED), of(COUNTED, LEFT).alias(LEFT)];
    groups.extend(counted.keys.iter().map(|(name, key)| key.clone().alias(name)));
    let together = counted.plan.aggregate(groups, aggregates(&counted.measures))?.alias(COUNTED)?;
    let joined = together.join_on(frames, JoinType::Inner, [is_there])?;
    let plan = grouped_by_frame(joined, &counted.keys, whole_of_parts(&counted.measures))?;
    with_types_of(plan, &counted.measures, counted.keys.iter().map(|(name, _)| name.as_str()))
}

fn boundaries(counted: Counted, stock: &Stock, periods: Periods) -> Result<LogicalPlanBuilder> {
    let counted = stays(counted, stock, periods)?;
    let both = [(OPENING, At::Start), (CLOSING, At::End)];
    if can_walk(periods, &counted.measures) {
        // Who came and went within a period is there at neither end of it.
        let is_there = of(COUNTED, LEFT).is_null().or(of(COUNTED, ENTERED).lt(of(COUNTED, LEFT)));
        let starts = starts(periods)?;
        let mut spans = vec![level_span(&starts, At::End, At::Start)];
        spans.extend(both.iter().map(|(_, at)| level_span(&starts, *at, *at)));
        let mut measures = Vec::new();
        let mut counts = Vec::new();
        for (index, (boundary, _)) in both.iter().enumerate() {
            let span = index + 1;
            let at_boundary = |measure| Walked { measure, name: boundary_column(boundary, &measure.name), span };
            measures.extend(counted.measures.iter().map(at_boundary));
            counts.push(((*boundary).to_owned(), span));
        }
        counts.push((ROWS.to_owned(), 0));
        let plan = counted.plan.filter(is_there)?;
        return walk(plan, [ENTERED, LEFT], &counted.keys, measures, counts, FrameDays { starts, spans });
    }
    let frames = frames(None, periods)?.build()?;
    let plan = counted.plan.join_on(frames, JoinType::Inner, [is_there_before().or(is_there_at_the_end())])?;
    let mut columns = Vec::new();
    for (boundary, at) in both {
        let is_there = match at {
            At::Start => is_there_before(),
            At::End => is_there_at_the_end(),
        };
        for measure in &counted.measures {
            let filter = measure.filter.iter().cloned().chain([is_there.clone()]).reduce(Expr::and);
            let at_boundary = measure_expression(measure.function, measure.arguments.clone(), filter);
            columns.push(at_boundary.alias(boundary_column(boundary, &measure.name)));
        }
        columns.push(measure_expression(MeasureFunction::Count, Vec::new(), Some(is_there)).alias(boundary));
    }
    columns.push(measure_expression(MeasureFunction::Count, Vec::new(), None).alias(ROWS));
    grouped_by_frame(plan, &counted.keys, columns)
}

pub(super) const COUNTED: &str = "counted";
const FRAMES: &str = "frames";
// Two words, so that no dimension or measure is called so.
const DAY: &str = "counted on";
const ENTERED: &str = "entered in";
const LEFT: &str = "left in";
const WINDOW_START: &str = "window_start";
const WINDOW_END: &str = "window_end";

/// Rows with the periods in which they came and went.
fn stays(counted: Counted, stock: &Stock, periods: Periods) -> Result<Counted> {
    let Periods { grain, view, .. } = periods;
    let calendar = periods.calendar();
    let entered = period_of(day_of(&counted.time, &counted.time_type, calendar), grain, calendar);
    let left = match &stock.to {
        Some((to, to_type)) => {
            let day = day_of(to, to_type, calendar);
            let period = period_of(day.clone(), grain, calendar);
            match view.last() {
                // What ends behind the last day that counts has not ended yet.
                Some(last) => when(day.lt_eq(lit(date(last))), period).end()?,
                None => period,
            }
        }
        None => lit(ScalarValue::Date32(None)),
    };
    computed(counted, vec![(ENTERED, entered), (LEFT, left)])
}

fn is_there_before() -> Expr {
    let not_gone = of(COUNTED, LEFT).is_null().or(of(COUNTED, LEFT).gt_eq(of(FRAMES, PERIOD_START)));
    of(COUNTED, ENTERED).lt(of(FRAMES, PERIOD_START)).and(not_gone)
}

fn is_there_at_the_end() -> Expr {
    let not_gone = of(COUNTED, LEFT).is_null().or(of(COUNTED, LEFT).gt(of(FRAMES, PERIOD_START)));
    of(COUNTED, ENTERED).lt_eq(of(FRAMES, PERIOD_START)).and(not_gone)
}

/// What tells the columns apart that are computed for the arguments of a measure.
pub(super) const ARGUMENTS: [&str; 2] = ["of", "with"];

/// Every expression computed once for each row, under a name of its own, before rows meet periods.
fn computed(counted: Counted, further: Vec<(&str, Expr)>) -> Result<Counted> {
    let mut columns: Vec<Expr> = further.into_iter().map(|(name, value)| value.alias(name)).collect();
    columns.extend(counted.keys.iter().map(|(name, key)| key.clone().alias(name)));
    let mut measures = Vec::with_capacity(counted.measures.len());
    let mut known: Vec<(Expr, Expr)> = Vec::new();
    for measure in &counted.measures {
        // What several measures ask for is one column: so values counted twice are seen to be the same.
        let mut put = |value: &Expr, what: &str| {
            if let Some((_, column)) = known.iter().find(|(other, _)| other == value) {
                return column.clone();
            }
            let name = format!("{} {what}", measure.name);
            columns.push(value.clone().alias(&name));
            known.push((value.clone(), of(COUNTED, &name)));
            of(COUNTED, &name)
        };
        let filter = measure.filter.as_ref().map(|filter| put(filter, "if"));
        let arguments = measure.arguments.iter().zip(ARGUMENTS).map(|(argument, word)| put(argument, word)).collect();
        measures.push(Measure { arguments, filter, ..measure.clone() });
    }
    let keys = counted.keys.iter().map(|(name, _)| (name.clone(), of(COUNTED, name))).collect();
    Ok(Counted { plan: counted.plan.project(columns)?.alias(COUNTED)?, keys, measures, ..counted })
}

/// The measures of each frame and key.
///
/// A row counts in many frames, so there are many groups, and DataFusion keeps a set of its own for each of them to count
/// different values: kilobytes, however few there are. Grouped by the values first, they are only counted.
fn measured_by_frame(
    plan: LogicalPlanBuilder,
    keys: &[(String, Expr)],
    measures: &[Measure],
) -> Result<LogicalPlanBuilder> {
    let Some(value) = counted_value(measures) else { return grouped_by_frame(plan, keys, aggregates(measures)) };
    let mut with_value = keys.to_vec();
    with_value.push((VALUE_COUNTED.to_owned(), value.clone()));
    let parts = measures.iter().map(|measure| {
        let function = match measure.function {
            MeasureFunction::CountDistinct => MeasureFunction::Count,
            adds_up => adds_up,
        };
        let arguments = if measure.function == function { measure.arguments.clone() } else { Vec::new() };
        measure_expression(function, arguments, measure.filter.clone()).alias(&measure.name)
    });
    let rows = measure_expression(MeasureFunction::Count, Vec::new(), None).alias(ROWS);
    let parts = grouped_by_frame(plan, &with_value, parts.chain([rows]).collect())?.alias(BY_VALUE)?;
    let wholes = measures.iter().map(|measure| {
        let part = of(BY_VALUE, &measure.name);
        let whole = match measure.function {
            MeasureFunction::CountDistinct => {
                let is_met = part.gt(lit(0_i64));
                measure_expression(MeasureFunction::Count, vec![of(BY_VALUE, VALUE_COUNTED)], Some(is_met))
            }
            adds_up => rolled_up(adds_up, part),
        };
        whole.alias(&measure.name)
    });
    let wholes = wholes.chain([rolled_up(MeasureFunction::Count, of(BY_VALUE, ROWS)).alias(ROWS)]).collect::<Vec<_>>();
    let mut groups = vec![of(BY_VALUE, PERIOD_START).alias(PERIOD_START)];
    groups.extend(keys.iter().map(|(name, _)| of(BY_VALUE, name).alias(name)));
    with_types_of(parts.aggregate(groups, wholes)?, measures, keys.iter().map(|(name, _)| name.as_str()))
}

const BY_VALUE: &str = "by_value";
// Two words, so that no dimension or measure is called so.
pub(super) const VALUE_COUNTED: &str = "value counted";

/// The one expression whose different values are counted, where everything else adds up.
pub(super) fn counted_value(measures: &[Measure]) -> Option<&Expr> {
    let counts = |measure: &&Measure| measure.function == MeasureFunction::CountDistinct;
    let value = measures.iter().find(counts)?.arguments.first()?;
    let is_fit = |measure: &Measure| match measure.function {
        MeasureFunction::CountDistinct => measure.arguments.as_slice() == std::slice::from_ref(value),
        function => function.adds_up(),
    };
    measures.iter().all(is_fit).then_some(value)
}

fn grouped_by_frame(
    plan: LogicalPlanBuilder,
    keys: &[(String, Expr)],
    aggregates: Vec<Expr>,
) -> Result<LogicalPlanBuilder> {
    let mut groups = vec![of(FRAMES, PERIOD_START).alias(PERIOD_START)];
    groups.extend(keys.iter().map(|(name, key)| key.clone().alias(name)));
    plan.aggregate(groups, aggregates)
}

/// The first and the last period that the data covers; `None` without data.
pub(super) fn first_and_last(periods: Periods) -> Result<Option<(NaiveDate, NaiveDate)>> {
    let Periods { grain, view, .. } = periods;
    if let Some(extent) = view.extent
        && (extent.first < known_days().0 || extent.last > known_days().1)
    {
        return exec_err!("{}", out_of_range(&extent));
    }
    let days = view.extent.map(|extent| extent.first).zip(view.last());
    let start = |day| periods.calendar().period_start(day, grain);
    Ok(days.and_then(|(first, last)| start(first).zip(start(last))))
}

/// The periods that the data covers, each with the days of its window: from the first one up to and without the last.
fn frames(window: Option<Window>, periods: Periods) -> Result<LogicalPlanBuilder> {
    let Periods { model, grain, view, .. } = periods;
    let calendar = periods.calendar();
    // Without data there is no period.
    let (first, last) = first_and_last(periods)?.unwrap_or((NaiveDate::MAX, NaiveDate::MIN));
    let (first, last) = (first.min(known_days().1), last.max(known_days().0));
    let mut columns = vec![column(PERIOD_START)];
    if let (Some(window), Some(last_day)) = (window, view.last()) {
        let end = window_end(column(PERIOD_START), grain, last_day);
        if let Some(start) = window_start(end.clone(), window, calendar) {
            columns.push(start.alias(WINDOW_START));
        }
        columns.push(end.alias(WINDOW_END));
    } else if let Some(window) = window {
        let none = lit(ScalarValue::Date32(None));
        if window != Window::All {
            columns.push(none.clone().alias(WINDOW_START));
        }
        columns.push(none.alias(WINDOW_END));
    }
    known_periods(model, grain, first, last)?.project(columns)?.alias(FRAMES)
}

/// Whether a day lies in the window of a frame.
fn inside(window: Window, day: Expr) -> Vec<Expr> {
    let mut conditions = vec![day.clone().lt(of(FRAMES, WINDOW_END))];
    if window != Window::All {
        conditions.push(day.gt_eq(of(FRAMES, WINDOW_START)));
    }
    conditions
}

/// The day behind a window: that behind its period, or behind the last day that is known.
pub(super) fn window_end(period_start: Expr, grain: Grain, last: NaiveDate) -> Expr {
    let behind = last.checked_add_days(Days::new(1)).unwrap_or(NaiveDate::MAX);
    least(vec![next_period(period_start, grain), lit(date(behind))])
}

/// The first day of a window; `None` where it has all days.
pub(super) fn window_start(end: Expr, window: Window, calendar: &Calendar) -> Option<Expr> {
    match window {
        Window::Trailing(length) => Some(end - interval(length)),
        Window::ToDate(unit) => {
            let last_day = end - interval(Length { count: 1, unit: Grain::Day });
            Some(period_of(last_day, unit, calendar))
        }
        Window::All => None,
    }
}

/// A length of time as SQL adds it to days.
pub(super) fn interval(length: Length) -> Expr {
    let (months, days) = length.months_and_days();
    lit(ScalarValue::new_interval_mdn(months, days, 0))
}
