//! KPIs over other KPIs: the inputs that a value names, how much earlier each is read, and the dimensions they share.
//!
//! In which order KPIs are checked is decided in `order`; here all inputs are checked already.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::Column;
use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Spanned as _, Value as SqlValue,
    ValueWithSpan,
};

use super::aggregate::window;
use super::expression::{self, Order, Parsed, Unresolved, list, resolve, walk};
use super::kpis::{Checked, Context, Shaped, as_dimension, dimension, names};
use super::length::read_length;
use super::measures::measured_schema;
use super::variant::{Change, Varied, variant};
use super::{Problems, check_name, typing};
use crate::diagnostic::{Diagnostic, Span};
use crate::model::{
    Arithmetic, Earlier, Input, Kpi, Length, Placement, Previous, ROWS, Shape, Subject, Value, Window, input_rows,
};
use crate::spec::{KpiSpec, Spanned};
use crate::time::Grain;

pub(super) fn arithmetic(
    context: &Context,
    spec: &KpiSpec,
    value: &Parsed,
    grains: &[Grain],
    all: &mut Checked,
    problems: &mut Problems,
) -> Shaped {
    let before = problems.count();
    misplaced_keys(spec, problems);
    let uses = match inputs_of(context, value) {
        Ok(uses) => uses,
        Err(diagnostic) => {
            problems.add(*diagnostic);
            return Shaped::Broken;
        }
    };
    let Ok(window) = window(context.language, spec, grains, problems) else { return Shaped::Broken };
    unused_inputs(spec, &uses, problems);
    let mut inputs: Vec<Input> = Vec::new();
    for used in &uses.inputs {
        let alias = spec.inputs.get(&used.kpi.value);
        let name = alias.map_or(used.kpi.value.as_str(), |alias| alias.kpi.value.as_str());
        if let Some(reason) = all.skipped.get(name) {
            return Shaped::Skipped(format!("it needs `{name}`, and {reason}"));
        }
        if !all.ready.contains_key(name) {
            // Unknown names are reported when the order is made; broken ones where they stand.
            return Shaped::Broken;
        }
        offsets_are_whole(used.input.earlier, name, used.kpi.span, grains, &all.ready, problems);
        let conditions = alias.and_then(|alias| alias.condition.as_ref()).into_iter().chain(&spec.condition);
        let change = Change { conditions: conditions.collect(), window, place: window_place(spec) };
        let kpi = match variant(context, name, &change, all, problems) {
            Varied::Ready(kpi) => kpi,
            Varied::Missing(table) => return Shaped::Skipped(format!("it needs table `{table}`, which has no data")),
            Varied::Broken => return Shaped::Broken,
        };
        let input = Input { kpi, ..used.input.clone() };
        if !inputs.contains(&input) {
            inputs.push(input);
        }
    }
    let ready = &all.ready;
    if inputs.is_empty() {
        problems.add(
            Diagnostic::error("no-input", "the value names no KPI, and there is no `from`")
                .at(value.text.span)
                .hint("add `from:` with the table to aggregate, or name KPIs in the value"),
        );
        return Shaped::Broken;
    }
    if inputs.iter().all(|input| input.is_total) {
        problems.add(
            Diagnostic::error("no-input", "the value names only totals, which have no members of their own")
                .at(value.text.span)
                .hint("set a KPI against its total, such as `revenue / total(revenue)`"),
        );
        return Shaped::Broken;
    }
    let wanted = spec.by.iter().flatten().flat_map(|set| set.items());
    for name in wanted.chain(spec.required_dimensions.iter().flatten().cloned()) {
        for input in inputs.iter().filter(|input| !input.is_total) {
            shares_dimension(context, &ready[&input.kpi], &name, ready, problems);
        }
    }
    for input in &inputs {
        needs_dimensions(&ready[&input.kpi], spec, value.text.span, problems);
        fits_grains(&ready[&input.kpi], ready, grains, spec, problems);
    }
    // Inputs stand beside dimensions and row counts in one query, so their names must differ from those.
    let dimensions: Vec<String> = spec.by.iter().flatten().flat_map(|set| set.items()).map(|name| name.value).collect();
    let row_counts: Vec<String> = inputs.iter().map(|input| input_rows(&input.name)).collect();
    let required = names(&spec.required_dimensions);
    let is_taken = |name: &String| {
        ["before", "period_start", ROWS].contains(&name.as_str())
            || dimensions.contains(name)
            || required.contains(name)
            || row_counts.contains(name)
    };
    if let Some(input) = inputs.iter().find(|input| is_taken(&input.name)) {
        problems.add(
            Diagnostic::error("reserved-name", format!("`{}` means two things in this KPI", input.name))
                .at(value.text.span)
                .hint("give the KPI, or the dimension of that name, another name"),
        );
        return Shaped::Broken;
    }
    let columns = inputs.iter().map(|input| (input.name.as_str(), ready[&input.kpi].value_type.clone()));
    let schema = measured_schema(columns);
    let Some((expression, data_type)) =
        problems.planned(typing::plan(context.state, uses.sql, &schema), value.text.span)
    else {
        return Shaped::Broken;
    };
    problems.is_number(&data_type, value.text.span);
    if problems.count() > before {
        return Shaped::Broken;
    }
    let ratio = typing::ratio(&expression);
    let observations = match &ratio {
        // A rate has as many observations as its denominator.
        Some((_, Expr::Column(denominator))) => input_rows(&denominator.name),
        _ => ROWS.to_owned(),
    };
    let observations = Expr::Column(Column::from_name(observations));
    let arithmetic = Arithmetic { inputs, value: Value { expression, ratio, observations } };
    Shaped::Ready(Shape::Arithmetic(arithmetic), data_type)
}

/// Keys that mean nothing without rows.
pub(super) fn misplaced_keys(spec: &KpiSpec, problems: &mut Problems) {
    let columns = spec.columns.iter().next().map(|(name, _)| name.span);
    for (key, span) in [
        ("time", spec.time.as_ref().map(|key| key.span)),
        ("fill", spec.fill.as_ref().map(|key| key.span)),
        ("stock", spec.stock.as_ref().map(|key| key.span)),
        ("at", spec.at.as_ref().map(|key| key.span)),
        ("per", spec.per.as_ref().map(|key| key.span)),
        ("columns", columns),
        ("conversion", spec.conversion.as_ref().map(|key| key.span)),
        ("count_on", spec.count_on.as_ref().map(|key| key.span)),
        ("funnel", spec.funnel.as_ref().map(|key| key.span)),
        ("cohort", spec.cohort.as_ref().map(|key| key.span)),
    ] {
        let Some(span) = span else { continue };
        problems.add(
            Diagnostic::error("misplaced-key", format!("`{key}` needs a `from`; arithmetic over KPIs reads no rows"))
                .at(span)
                .hint(format!("put `{key}` into the KPIs that the value names")),
        );
    }
}

fn window_place(spec: &KpiSpec) -> Option<Span> {
    spec.window.as_ref().or(spec.to_date.as_ref()).map(|key| key.span)
}

/// An input that the value does not name is a slip: most likely it was meant.
fn unused_inputs(spec: &KpiSpec, uses: &Uses, problems: &mut Problems) {
    for (name, _) in spec.inputs.iter() {
        check_name("input", name, problems);
        if !uses.inputs.iter().any(|used| used.kpi.value == name.value) {
            problems.add(
                Diagnostic::error("unused-input", format!("the value does not name the input `{}`", name.value))
                    .at(name.span)
                    .hint("use it in the value, or leave it out"),
            );
        }
    }
}

/// Whether a KPI that another one reads, as a part or as its target, means something at every grain of that one.
pub(super) fn can_be_read(
    kpi: &Kpi,
    place: Span,
    ready: &BTreeMap<String, Arc<Kpi>>,
    grains: &[Grain],
    spec: &KpiSpec,
    problems: &mut Problems,
) {
    offsets_are_whole(None, &kpi.name, place, grains, ready, problems);
    fits_grains(kpi, ready, grains, spec, problems);
}

/// Looking back, here or below, goes by whole periods of every grain.
fn offsets_are_whole(
    earlier: Option<Earlier>,
    kpi: &str,
    place: Span,
    grains: &[Grain],
    ready: &BTreeMap<String, Arc<Kpi>>,
    problems: &mut Problems,
) {
    for (looker, earlier) in offsets(kpi, earlier, ready) {
        for grain in grains {
            let (is_whole, what) = match earlier {
                Earlier::Previous(previous) => (
                    previous.periods(*grain).is_some(),
                    format!("looks back {}, which is no whole number of {grain}s", describe(previous)),
                ),
                Earlier::StartOf(unit) => {
                    (unit >= *grain, format!("looks back to the start of the {unit}, which is shorter than a {grain}"))
                }
            };
            if is_whole {
                continue;
            }
            let who = looker.map_or("the value".to_owned(), |looker| format!("`{looker}`"));
            let hint = match (looker, earlier) {
                (None, Earlier::Previous(_)) => "leave the length out for the period before, or leave the grain out",
                (None, Earlier::StartOf(_)) => "name a longer period, or leave the grain out",
                (Some(_), _) => "leave the grain out",
            };
            let message = format!("{who} {what}, and this KPI has the grain {grain}");
            problems.add(Diagnostic::error("offset-not-whole", message).at(place).hint(hint));
        }
    }
}

/// How far an input looks back, and how far those below it do, with their names.
fn offsets<'a>(
    kpi: &str,
    earlier: Option<Earlier>,
    ready: &'a BTreeMap<String, Arc<Kpi>>,
) -> Vec<(Option<&'a str>, Earlier)> {
    let mut found: Vec<(Option<&str>, Earlier)> = earlier.iter().map(|earlier| (None, *earlier)).collect();
    if let Some(kpi) = ready.get(kpi) {
        let below: Vec<(&str, Option<Earlier>)> = match &kpi.shape {
            Shape::Arithmetic(arithmetic) => {
                arithmetic.inputs.iter().map(|input| (input.kpi.as_str(), input.earlier)).collect()
            }
            Shape::Aggregate(_) | Shape::Composite(_) | Shape::Query(_) => {
                kpi.value_inputs().into_iter().map(|input| (input, None)).collect()
            }
        };
        let below = below.into_iter().flat_map(|(input, earlier)| offsets(input, earlier, ready));
        found.extend(below.map(|(looker, earlier)| (Some(looker.unwrap_or(&kpi.name)), earlier)));
    }
    found
}

fn describe(previous: Previous) -> String {
    match previous {
        Previous::Period => "one period".into(),
        Previous::Length(Length { count: 1, unit }) => format!("1 {unit}"),
        Previous::Length(Length { count, unit }) => format!("{count} {unit}s"),
    }
}

/// What an input must not be asked without, a KPI over it must not be asked without either.
pub(super) fn needs_dimensions(input: &Kpi, spec: &KpiSpec, place: Span, problems: &mut Problems) {
    let missing: Vec<&str> = (input.required_dimensions.iter().map(String::as_str))
        .filter(|name| !spec.required_dimensions.iter().flatten().any(|own| own.value == *name))
        .collect();
    if missing.is_empty() {
        return;
    }
    problems.add(
        Diagnostic::error(
            "required-dimension",
            format!("`{}` must not be asked without {}", input.name, list(missing.iter().copied())),
        )
        .at(place)
        .hint(format!("add `required_dimensions: [{}]`", missing.join(", "))),
    );
}

/// A grain at which an input means nothing: it is bound to one, adds up less, or its data is no finer.
fn fits_grains(
    input: &Kpi,
    ready: &BTreeMap<String, Arc<Kpi>>,
    grains: &[Grain],
    spec: &KpiSpec,
    problems: &mut Problems,
) {
    let place = |grain: Grain| {
        let written = spec.grains.iter().flatten().find(|word| word.value == grain.name());
        written.map_or(spec.kpi.span, |word| word.span)
    };
    if let Some((name, only)) = only_grain(input, ready)
        && let Some(other) = grains.iter().find(|grain| **grain != only)
    {
        problems.add(
            Diagnostic::error("cohort-grain", format!("`{name}` has cohorts by {only} and cannot be read by {other}"))
                .at(place(*other))
                .hint(format!("write `grains: [{only}]`")),
        );
    }
    if let Some((name, unit)) = least_unit(input, ready)
        && let Some(longer) = grains.iter().find(|grain| **grain > unit)
    {
        problems.add(
            Diagnostic::error(
                "grain-too-coarse",
                format!("`{name}` adds up the {unit} to date, which is shorter than a {longer}"),
            )
            .at(place(*longer))
            .hint(format!("leave the grain {longer} out")),
        );
    }
    if let Some(finest) = input.finest
        && let Some(finer) = grains.iter().find(|grain| **grain < finest)
    {
        problems.add(
            Diagnostic::error(
                "grain-too-fine",
                format!("`{}` is not known by {finer}; its finest grain is {finest}", input.name),
            )
            .at(place(*finer))
            .hint(format!("leave the grain {finer} out")),
        );
    }
}

/// The shortest period that a KPI, or one below it, adds up to date.
fn least_unit<'a>(kpi: &'a Kpi, ready: &'a BTreeMap<String, Arc<Kpi>>) -> Option<(&'a str, Grain)> {
    match kpi.aggregate().map(|aggregate| &aggregate.placement) {
        Some(Placement::Window(Window::ToDate(unit))) => Some((kpi.variant_of.as_ref().unwrap_or(&kpi.name), *unit)),
        _ => {
            let below = kpi.value_inputs().into_iter().filter_map(|input| least_unit(ready.get(input)?, ready));
            below.min_by_key(|(_, unit)| *unit)
        }
    }
}

/// The only grain at which a KPI can be read, where cohorts bind it to one.
fn only_grain<'a>(kpi: &'a Kpi, ready: &'a BTreeMap<String, Arc<Kpi>>) -> Option<(&'a str, Grain)> {
    match kpi.aggregate().map(|aggregate| &aggregate.subject) {
        Some(Subject::Cohorts(cohorts)) => Some((&kpi.name, cohorts.by)),
        _ => kpi.value_inputs().into_iter().find_map(|input| only_grain(ready.get(input)?, ready)),
    }
}

/// Every input of a KPI must know a dimension for it to mean something.
pub(super) fn shares_dimension(
    context: &Context,
    kpi: &Kpi,
    name: &Spanned<String>,
    ready: &BTreeMap<String, Arc<Kpi>>,
    problems: &mut Problems,
) {
    if kpi.required_dimensions.contains(&name.value) {
        return;
    }
    let mut refuse = |reason: String, hint: Option<String>| {
        let mut diagnostic = Diagnostic::error(
            "dimension-not-shared",
            format!("`{}` cannot be broken down by `{}`: {reason}", kpi.name, name.value),
        )
        .at(name.span);
        diagnostic.hint = hint;
        problems.add(diagnostic);
    };
    match &kpi.shape {
        Shape::Aggregate(aggregate) => match dimension(context, &aggregate.table, name) {
            Ok(_) if aggregate.takes(name) => refuse(
                "it means something else in that KPI".into(),
                Some(format!("give the dimension another name in table `{}`", aggregate.table)),
            ),
            Ok(_) => {}
            Err(Unresolved::Mistake(mistake)) => {
                let mistake = as_dimension(context, *mistake, name, &aggregate.table);
                refuse(mistake.message, mistake.hint);
            }
            Err(Unresolved::Missing { .. } | Unresolved::Elsewhere) => {}
        },
        Shape::Query(query) if query.dimensions.contains_key(&name.value) => {}
        Shape::Query(query) => {
            let known = list(query.dimensions.keys().map(String::as_str));
            let hint = if known.is_empty() { "it has no dimensions".into() } else { format!("it has {known}") };
            refuse("its query does not name it".into(), Some(hint));
        }
        Shape::Arithmetic(arithmetic) => {
            for input in arithmetic.inputs.iter().filter(|input| !input.is_total) {
                shares_dimension(context, &ready[&input.kpi], name, ready, problems);
            }
        }
        Shape::Composite(composite) => {
            for part in &composite.parts {
                shares_dimension(context, &ready[&part.kpi], name, ready, problems);
            }
        }
    }
}

/// One use of a KPI in a value.
pub(super) struct Use {
    pub kpi: Spanned<String>,
    input: Input,
}

pub(super) struct Uses {
    pub inputs: Vec<Use>,
    /// The value over the inputs' column names.
    sql: SqlExpr,
}

/// Takes the KPIs out of an arithmetic value.
pub(super) fn inputs_of(context: &Context, value: &Parsed) -> Result<Uses, Box<Diagnostic>> {
    struct Collect<'a> {
        context: &'a Context<'a>,
        value: &'a Parsed,
        inputs: Vec<Use>,
    }
    impl Collect<'_> {
        fn place(&self, span: datafusion::sql::sqlparser::tokenizer::Span) -> crate::diagnostic::Span {
            self.context.language.place(&self.value.text, span)
        }

        fn column(&mut self, name: &Ident, earlier: Option<Earlier>, is_total: bool) -> SqlExpr {
            let kpi = Spanned::new(name.value.clone(), self.place(name.span));
            let column = match earlier {
                None => name.value.clone(),
                Some(Earlier::Previous(Previous::Period)) => format!("previous {}", name.value),
                Some(Earlier::Previous(Previous::Length(Length { count, unit }))) => {
                    format!("previous {} {count} {unit}", name.value)
                }
                Some(Earlier::StartOf(unit)) => format!("start of {unit} {}", name.value),
            };
            let column = if is_total { format!("total {column}") } else { column };
            let input = Input { name: column.clone(), kpi: name.value.clone(), earlier, is_total };
            self.inputs.push(Use { kpi, input });
            SqlExpr::Identifier(Ident { value: column, quote_style: Some('"'), span: name.span })
        }

        fn function(&mut self, function: &Function) -> Result<Option<SqlExpr>, Unresolved> {
            let name = function.name.to_string().to_lowercase();
            let place = self.place(function.name.span());
            match name.as_str() {
                "previous" | "total" | "start_of" => match read_call(function) {
                    Some(Call { kpi, earlier, is_total }) => Ok(Some(self.column(kpi, earlier, is_total))),
                    None => Err(usage(&name).at(place).into()),
                },
                "sum" | "count" | "min" | "max" | "avg" | "median" => Err(Diagnostic::error(
                    "missing-from",
                    format!("`{name}` aggregates rows, but this KPI has no `from`"),
                )
                .at(place)
                .hint("add `from:` with the table, or leave the aggregate out and name KPIs")
                .into()),
                _ => Ok(None),
            }
        }
    }
    let mut collect = Collect { context, value, inputs: Vec::new() };
    let mut sql = value.sql.clone();
    let outcome = walk(&mut sql, Order::WholeFirst, &mut |sql| {
        let replacement = match sql {
            SqlExpr::Function(function) => collect.function(function)?,
            SqlExpr::Identifier(name) if name.quote_style != Some('"') => {
                let name = name.clone();
                Some(collect.column(&name, None, false))
            }
            SqlExpr::CompoundIdentifier(_) => {
                return Err(Diagnostic::error("unknown-kpi", format!("`{sql}` is no KPI"))
                    .at(collect.place(sql.span()))
                    .hint("without a `from`, names in the value are KPIs; columns need a `from`")
                    .into());
            }
            _ => None,
        };
        if let Some(replacement) = replacement {
            *sql = replacement;
        }
        Ok(())
    });
    if let Err(Unresolved::Mistake(diagnostic)) = outcome {
        return Err(diagnostic);
    }
    let inputs = collect.inputs;
    // Functions of the arithmetic itself, such as `coalesce`, are checked like any other.
    let parsed = Parsed { sql: sql.clone(), text: value.text.clone() };
    let names = expression::Names {
        columns: inputs.iter().map(|used| used.input.name.clone()).collect(),
        ..expression::Names::default()
    };
    let namespace = expression::Namespace::from([(String::new(), names)]);
    if let Err(Unresolved::Mistake(diagnostic)) = resolve(context.language, &namespace, "", &parsed) {
        return Err(diagnostic);
    }
    Ok(Uses { inputs, sql })
}

/// A KPI as a value reads it: earlier, or for the whole, or both.
struct Call<'a> {
    kpi: &'a Ident,
    earlier: Option<Earlier>,
    is_total: bool,
}

/// Reads `previous(kpi)`, `previous(kpi, 1 year)`, `start_of(kpi, year)`, `total(kpi)`, and a total of an earlier KPI.
fn read_call(function: &Function) -> Option<Call<'_>> {
    let name = function.name.to_string().to_lowercase();
    let FunctionArguments::List(arguments) = &function.args else { return None };
    let arguments: Vec<&SqlExpr> = arguments
        .args
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(sql)) => Some(sql),
            _ => None,
        })
        .collect::<Option<_>>()?;
    let (first, further) = arguments.split_first()?;
    let inner = match first {
        SqlExpr::Identifier(kpi) => Call { kpi, earlier: None, is_total: false },
        SqlExpr::Function(function) => read_call(function)?,
        _ => return None,
    };
    let earlier = match (name.as_str(), further) {
        ("total", []) if !inner.is_total => return Some(Call { is_total: true, ..inner }),
        ("previous", []) => Earlier::Previous(Previous::Period),
        ("previous", [SqlExpr::Value(ValueWithSpan { value: SqlValue::SingleQuotedString(length), .. })]) => {
            Earlier::Previous(Previous::Length(read_length(length)?))
        }
        ("start_of", [SqlExpr::Identifier(unit)]) => Earlier::StartOf(unit.value.to_lowercase().parse().ok()?),
        _ => return None,
    };
    inner.earlier.is_none().then_some(Call { earlier: Some(earlier), ..inner })
}

fn usage(name: &str) -> Diagnostic {
    let (message, hint) = match name {
        "previous" => (
            "`previous` takes a KPI, and a length of time if it is not the period before",
            "such as `previous(total_revenue)` or `previous(total_revenue, 1 year)`",
        ),
        "start_of" => (
            "`start_of` takes a KPI and the period at whose start it is read",
            "such as `start_of(active_customers, year)`",
        ),
        _ => ("`total` takes a KPI", "such as `total(total_revenue)` or `total(previous(total_revenue))`"),
    };
    Diagnostic::error("wrong-value", message)
        .hint(format!("{hint}; give anything else a KPI of its own, and name that"))
}
