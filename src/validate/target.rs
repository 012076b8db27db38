//! Targets: their form, the order of their thresholds, and the days on which they hold.
//!
//! Whether a value reaches its target is not decided here, but when results are compiled.

use chrono::NaiveDate;

use super::Problems;
use super::aggregate::{Rows, table_state};
use super::arithmetic::can_be_read;
use super::kpis::{Checked, Context, Shaped};
use crate::diagnostic::Diagnostic;
use crate::model::{Better, Goal, Target, TargetForm, TargetTable};
use crate::spec::{KpiSpec, Spanned, TargetSpec};
use crate::time::Grain;

/// What became of a target.
pub(super) enum Targeted {
    Ready(Target),
    /// The KPI or table that it is looked up in has no data, and why.
    Skipped(String),
    Broken,
}

/// What the KPI is asked for, and so its target.
pub(super) struct Asked<'a> {
    pub grains: &'a [Grain],
    pub dimension_sets: &'a [Vec<String>],
}

/// The target of a KPI.
pub(super) fn target(
    context: &Context,
    spec: &KpiSpec,
    target: &Spanned<TargetSpec>,
    asked: &Asked,
    all: &Checked,
    problems: &mut Problems,
) -> Targeted {
    let before = problems.count();
    let found = match (&target.kpi, &target.table) {
        (None, None) => written(spec, target, problems),
        _ => match looked_up(context, spec, target, asked, all, problems) {
            Ok(found) => found,
            Err(reason) => return Targeted::Skipped(reason),
        },
    };
    match found {
        Some(found) if problems.count() == before => Targeted::Ready(found),
        _ => Targeted::Broken,
    }
}

/// A target that is the value of another KPI, or a row of a table; or why there is no data for it.
fn looked_up(
    context: &Context,
    spec: &KpiSpec,
    target: &Spanned<TargetSpec>,
    asked: &Asked,
    all: &Checked,
    problems: &mut Problems,
) -> Result<Option<Target>, String> {
    let better = spec.better.as_ref().map(|better| better.value);
    if target.value.value.is_some() || target.between.is_some() || (target.kpi.is_some() && target.table.is_some()) {
        problems.add(
            Diagnostic::error("wrong-value", "a target is one of `value`, `between`, `kpi` and `table`")
                .at(target.span)
                .hint("leave the others out"),
        );
    }
    if !matches!(better, Some(Better::Higher | Better::Lower)) {
        problems.add(needs_better(target));
    }
    let (warn, critical) = shares(target, better.unwrap_or(Better::Higher), problems);
    let (from, until) = (date(&target.from, problems), date(&target.until, problems));
    let goal = match (&target.kpi, &target.table) {
        (Some(kpi), _) => {
            if let Some(reason) = all.skipped.get(&kpi.value) {
                return Err(format!("its target is `{}`, and {reason}", kpi.value));
            }
            if let Some(wanted) = all.ready.get(&kpi.value) {
                can_be_read(wanted, kpi.span, &all.ready, asked.grains, spec, problems);
            }
            // Unknown ones are reported when the order is made.
            all.ready.get(&kpi.value).map(|wanted| Goal::Kpi { kpi: wanted.name.clone(), warn, critical })
        }
        (None, Some(table)) => {
            match table_state(context, table, problems) {
                Ok(()) => {}
                Err(Shaped::Skipped(reason)) => return Err(format!("its targets are there, and {reason}")),
                Err(_) => return Ok(None),
            }
            table_of_targets(context, table, asked.dimension_sets, problems).map(|table| Goal::Table {
                table,
                warn,
                critical,
            })
        }
        (None, None) => None,
    };
    let form = form(target, better.unwrap_or(Better::Higher), problems);
    Ok(goal.map(|goal| whole(target, goal, form, (from, until))))
}

fn table_of_targets(
    context: &Context,
    name: &Spanned<String>,
    dimension_sets: &[Vec<String>],
    problems: &mut Problems,
) -> Option<TargetTable> {
    let table = context.tables.ready(&name.value)?;
    let has = |column: &str| table.schema.column_with_name(column).is_some();
    if !table.schema.field_with_name("value").is_ok_and(|field| field.data_type().is_numeric()) {
        problems.add(
            Diagnostic::error(
                "missing-key",
                format!("table `{}` has no column `value` that holds numbers", name.value),
            )
            .at(name.span)
            .hint(format!(
                "name it so in the table: `columns: {{value: {{from: ..., type: double}}}}` in `{}`",
                name.value
            )),
        );
        return None;
    }
    let Some(time) = context.table_specs.get(&name.value).and_then(|spec| spec.time.as_ref()) else {
        problems.add(
            Diagnostic::error(
                "missing-key",
                format!("table `{}` has no `time` that says for which period a target is", name.value),
            )
            .at(name.span)
            .hint(format!("add `time:` to table `{}`, with the column that holds a day of the period", name.value)),
        );
        return None;
    };
    let mut rows = Rows::of(context, &name.value);
    let (time, time_type) = rows.time(time, "`time`", problems)?;
    if !rows.joins.is_empty() {
        problems.add(
            Diagnostic::error("wrong-value", "the `time` of a table of targets is one of its own columns")
                .at(name.span)
                .hint(format!("name a column of `{}` as its `time`", name.value)),
        );
        return None;
    }
    let dimensions = dimension_sets.iter().flatten().filter(|dimension| has(dimension)).cloned().collect();
    Some(TargetTable { table: name.value.clone(), time, time_type, has_grain: has("grain"), dimensions })
}

fn needs_better(target: &Spanned<TargetSpec>) -> Diagnostic {
    Diagnostic::error("missing-key", "a target needs `better: higher` or `better: lower` beside it")
        .at(target.span)
        .hint("for a band write `better: within` and `target: {between: [low, high]}`")
}

/// A day, written as one.
pub(super) fn date(text: &Option<Spanned<String>>, problems: &mut Problems) -> Option<NaiveDate> {
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
}

/// `warn` and `critical` as shares of a target that is looked up.
fn shares(target: &Spanned<TargetSpec>, better: Better, problems: &mut Problems) -> (Option<f64>, Option<f64>) {
    let hint = match better {
        Better::Lower => "they are shares of the target here, such as `warn: 1.1` and `critical: 1.5`",
        Better::Higher | Better::Within | Better::None => {
            "they are shares of the target here, such as `warn: 0.9` and `critical: 0.5`"
        }
    };
    thresholds(target, 1.0, better, hint, problems)
}

/// `warn` and `critical`, which lie on the bad side of the target, one behind the other.
fn thresholds(
    target: &Spanned<TargetSpec>,
    value: f64,
    better: Better,
    hint: &str,
    problems: &mut Problems,
) -> (Option<f64>, Option<f64>) {
    let (warn, critical) = (target.warn.as_ref(), target.critical.as_ref());
    let in_order = |nearer: f64, farther: f64| match better {
        Better::Lower => nearer <= farther,
        Better::Higher | Better::Within | Better::None => nearer >= farther,
    };
    let mut last = value;
    for (key, bound) in [("warn", warn), ("critical", critical)] {
        let Some(bound) = bound else { continue };
        if !in_order(last, bound.value) {
            problems.add(
                Diagnostic::error("wrong-value", format!("`{key}: {}` lies on the good side of {last}", bound.value))
                    .at(bound.span)
                    .hint(hint),
            );
        }
        last = bound.value;
    }
    (warn.map(|warn| warn.value), critical.map(|critical| critical.value))
}

/// A target that is a number or a band.
fn written(spec: &KpiSpec, target: &Spanned<TargetSpec>, problems: &mut Problems) -> Option<Target> {
    let before = problems.count();
    let better = spec.better.as_ref().map(|better| better.value);
    let (from, until) = (date(&target.from, problems), date(&target.until, problems));
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
            let order = "from the target away: value, then warn, then critical";
            let (warn, critical) = thresholds(target, value, better, order, problems);
            Some(Goal::Value { value, warn, critical })
        }
        (None, Some(_), _) => {
            problems.add(needs_better(target));
            None
        }
        (None, None, _) => {
            problems.add(
                Diagnostic::error("missing-key", "a target has a `value`, `between` for a band, a `kpi` or a `table`")
                    .at(target.span)
                    .hint("such as `target: 0.25` or `target: {value: 0.25, warn: 0.22}`"),
            );
            None
        }
    };
    let form = form(target, better.unwrap_or(Better::None), problems);
    (problems.count() == before).then_some(whole(target, goal?, form, (from, until)))
}

fn whole(spec: &TargetSpec, goal: Goal, form: TargetForm, days: (Option<NaiveDate>, Option<NaiveDate>)) -> Target {
    let (from, until) = days;
    let owner = spec.owner.as_ref().map(|owner| owner.value.trim().to_owned());
    Target { goal, form, baseline: spec.baseline.as_ref().map(|baseline| baseline.value), owner, from, until }
}

/// What kind of target it is: what is written, if that goes with `better`, else what `better` says.
fn form(target: &TargetSpec, better: Better, problems: &mut Problems) -> TargetForm {
    let usual = match better {
        Better::Higher | Better::None => TargetForm::Floor,
        Better::Lower => TargetForm::Ceiling,
        Better::Within => TargetForm::Band,
    };
    let Some(form) = &target.form else { return usual };
    let fitting: &[TargetForm] = match better {
        Better::Higher => &[TargetForm::Floor, TargetForm::Plan, TargetForm::Growth],
        Better::Lower => &[TargetForm::Ceiling, TargetForm::Plan, TargetForm::Growth],
        Better::Within => &[TargetForm::Band],
        // That `better` is missing is reported already.
        Better::None => return form.value,
    };
    if !fitting.contains(&form.value) {
        let needed = match form.value {
            TargetForm::Floor => "higher",
            TargetForm::Ceiling => "lower",
            TargetForm::Band => "within",
            TargetForm::Plan | TargetForm::Growth => "higher` or `better: lower",
        };
        problems.add(
            Diagnostic::error("wrong-value", format!("`form: {}` goes with `better: {needed}`", form.name()))
                .at(form.span)
                .hint(format!("with `better: {}` it is `form: {}`", better.name(), usual.name())),
        );
    }
    if let (TargetForm::Growth, Some(value)) = (form.value, target.value) {
        growth(target, form, value, better, problems);
    }
    form.value
}

/// Growth leads from somewhere, and to the good side of it.
fn growth(target: &TargetSpec, form: &Spanned<TargetForm>, value: f64, better: Better, problems: &mut Problems) {
    let Some(baseline) = &target.baseline else {
        problems.add(
            Diagnostic::error("missing-key", "`form: growth` needs the `baseline` that the value grows from")
                .at(form.span)
                .hint("add the value from before, such as `baseline: 0.20`"),
        );
        return;
    };
    let grows = match better {
        Better::Lower => value < baseline.value,
        Better::Higher | Better::Within | Better::None => value > baseline.value,
    };
    if !grows {
        problems.add(
            Diagnostic::error("wrong-value", format!("{value} is no better than its baseline {}", baseline.value))
                .at(baseline.span)
                .hint(match better {
                    Better::Lower => "to keep what there is, write `form: ceiling`",
                    Better::Higher | Better::Within | Better::None => "to keep what there is, write `form: floor`",
                }),
        );
    }
}
