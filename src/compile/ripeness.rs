//! Whether a value is ripe: whether everything that its definition waits for has had its time, and its window is full.
//!
//! An unripe value is shown and not judged. Whether its period is over is another question.

use chrono::Days;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{Expr, lit};

use super::bounds::{Extent, date};
use super::placement::{interval, window_end, window_start};
use super::{Cell, Compiler, PERIOD_START, column, next_period, period_of};
use crate::functions::period_shift;
use crate::model::{AGE, Earlier, Kpi, Length, Placement, Shape, Subject, Window, Within};
use crate::time::Grain;

/// The condition on `period_start` and the dimensions of a row under which its value is ripe; `None` where it always is.
pub(super) fn ripe(compiler: &Compiler, kpi: &Kpi, cell: &Cell) -> Result<Option<Expr>> {
    let Some(extent) = compiler.extent(kpi) else { return Ok(None) };
    let mut conditions = Vec::new();
    if let Some(wait) = kpi.ripens {
        conditions.push(has_waited(next_period(column(PERIOD_START), cell.grain), wait, extent));
    }
    match &kpi.shape {
        Shape::Aggregate(aggregate) => {
            if let Placement::Window(window) = aggregate.placement {
                conditions.extend(is_full(compiler, window, extent, cell));
            }
            if let Subject::Cohorts(cohorts) = &aggregate.subject {
                let one_older = column(AGE) + lit(1_i64);
                let end = period_shift().call(vec![column(PERIOD_START), lit(cohorts.by.name()), one_older]);
                conditions.push(end.lt_eq(lit(date(behind(extent)))));
            }
        }
        Shape::Arithmetic(arithmetic) => {
            for input in &arithmetic.inputs {
                let Some(condition) = ripe(compiler, compiler.kpi(&input.kpi)?, cell)? else { continue };
                conditions.push(match input.earlier {
                    None => condition,
                    Some(Earlier::Previous(previous)) => {
                        let count = previous.periods(cell.grain).unwrap_or(0);
                        let earlier =
                            period_shift().call(vec![column(PERIOD_START), lit(cell.grain.name()), lit(-count)]);
                        with_period(condition, earlier)?
                    }
                    Some(Earlier::StartOf(unit)) => {
                        let calendar = compiler.calendar();
                        let first = period_of(period_of(column(PERIOD_START), unit, calendar), cell.grain, calendar);
                        with_period(condition, first)?
                    }
                });
            }
        }
        Shape::Composite(composite) => {
            for part in &composite.parts {
                conditions.extend(ripe(compiler, compiler.kpi(&part.kpi)?, cell)?);
            }
        }
        Shape::Query(_) => {}
    }
    Ok(conditions.into_iter().reduce(Expr::and))
}

/// Whether the youngest member of a period, one of its last day, has had its time.
fn has_waited(end: Expr, wait: Within, extent: Extent) -> Expr {
    let days = match wait {
        Within::Calendar(length) => interval(length),
        // Up to a day of hours ends on the next day at the latest.
        Within::Seconds(seconds) => interval(Length { count: (seconds + 86_399) / 86_400, unit: Grain::Day }),
    };
    // The last day itself counts, so the wait ends so many days behind it.
    (end + days).lt_eq(lit(date(behind(extent))))
}

/// Whether a window lies within the data: it begins in the period in which the data begins, or later.
fn is_full(compiler: &Compiler, window: Window, extent: Extent, cell: &Cell) -> Option<Expr> {
    let calendar = compiler.calendar();
    let first = calendar.period_start(extent.first, cell.grain)?;
    let end = window_end(column(PERIOD_START), cell.grain, extent.last);
    match window {
        Window::Trailing(_) => Some(window_start(end, window, calendar)?.gt_eq(lit(date(first)))),
        // What lies before the data is not part of a total since a beginning.
        Window::All | Window::ToDate(_) => None,
    }
}

/// The day behind the last one of which everything is known.
fn behind(extent: Extent) -> chrono::NaiveDate {
    extent.complete_until.checked_add_days(Days::new(1)).unwrap_or(extent.complete_until)
}

fn with_period(condition: Expr, period: Expr) -> Result<Expr> {
    let written = condition.transform_down(|node| match &node {
        Expr::Column(name) if name.name == PERIOD_START => {
            // Not looked into again: the column stands inside what takes its place.
            Ok(Transformed::new(period.clone(), true, datafusion::common::tree_node::TreeNodeRecursion::Jump))
        }
        _ => Ok(Transformed::no(node)),
    })?;
    Ok(written.data)
}
