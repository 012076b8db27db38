//! Targets: their form, the order of their thresholds, and the days on which they hold.
//!
//! Whether a value reaches its target is not decided here, but when results are compiled.

use chrono::NaiveDate;

use super::Problems;
use crate::diagnostic::Diagnostic;
use crate::model::{Better, Goal, Target};
use crate::spec::{KpiSpec, Spanned, TargetSpec};

pub(super) fn target(spec: &KpiSpec, target: &Spanned<TargetSpec>, problems: &mut Problems) -> Option<Target> {
    let before = problems.count();
    let better = spec.better.as_ref().map(|better| better.value);
    let mut date = |text: &Option<Spanned<String>>| {
        let text = text.as_ref()?;
        let date: Option<NaiveDate> = text.parse().ok();
        if date.is_none() {
            problems.add(
                Diagnostic::error("wrong-value", format!("`{}` is no date", text.value))
                    .at(text.span)
                    .hint("write it as 2025-01-31"),
            );
        }
        date
    };
    let (from, until) = (date(&target.from), date(&target.until));
    let goal = match (&target.between, target.value.value, better) {
        (Some(band), None, Some(Better::Within)) => match band.value.as_slice() {
            [low, high] if low <= high => Some(Goal::Between { low: *low, high: *high }),
            _ => {
                problems.add(
                    Diagnostic::error("wrong-value", "`between` is a list of two numbers, the lower first")
                        .at(band.span)
                        .hint("such as `between: [0.2, 0.4]`"),
                );
                None
            }
        },
        (Some(band), _, _) => {
            problems.add(
                Diagnostic::error("wrong-value", "`between` goes with `better: within` and without `value`")
                    .at(band.span)
                    .hint("for a band write `better: within`, else a `value` instead of `between`"),
            );
            None
        }
        (None, Some(value), Some(better @ (Better::Higher | Better::Lower))) => {
            let (warn, critical) = (target.warn.as_ref(), target.critical.as_ref());
            let in_order = |nearer: f64, farther: f64| match better {
                Better::Higher => nearer >= farther,
                _ => nearer <= farther,
            };
            let mut last = value;
            for (key, bound) in [("warn", warn), ("critical", critical)] {
                let Some(bound) = bound else { continue };
                if !in_order(last, bound.value) {
                    problems.add(
                        Diagnostic::error(
                            "wrong-value",
                            format!("`{key}: {}` lies on the good side of {last}", bound.value),
                        )
                        .at(bound.span)
                        .hint("from the target away: value, then warn, then critical"),
                    );
                }
                last = bound.value;
            }
            Some(Goal::Value {
                value,
                warn: warn.map(|warn| warn.value),
                critical: critical.map(|critical| critical.value),
            })
        }
        (None, Some(_), _) => {
            problems.add(
                Diagnostic::error("missing-key", "a target needs `better: higher` or `better: lower` beside it")
                    .at(target.span)
                    .hint("for a band write `better: within` and `target: {between: [low, high]}`"),
            );
            None
        }
        (None, None, _) => {
            problems.add(
                Diagnostic::error("missing-key", "a target has a `value`, or `between` for a band")
                    .at(target.span)
                    .hint("such as `target: 0.25` or `target: {value: 0.25, warn: 0.22}`"),
            );
            None
        }
    };
    (problems.count() == before).then_some(Target { goal: goal?, from, until })
}
