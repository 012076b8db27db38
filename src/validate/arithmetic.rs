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

use super::expression::{self, Order, Parsed, Unresolved, list, resolve, walk};
use super::kpis::{Context, Shaped, as_dimension, dimension};
use super::measures::measured_schema;
use super::{Problems, not_yet, typing};
use crate::diagnostic::Diagnostic;
use crate::model::{Arithmetic, Input, Kpi, Previous, ROWS, Shape, Value, input_rows};
use crate::spec::{KpiSpec, Spanned};
use crate::time::Grain;

pub(super) fn arithmetic(
    context: &Context,
    spec: &KpiSpec,
    value: &Parsed,
    grains: &[Grain],
    ready: &BTreeMap<String, Arc<Kpi>>,
    skipped: &BTreeMap<String, String>,
    problems: &mut Problems,
) -> Shaped {
    let before = problems.count();
    for (key, span) in [
        ("where", spec.condition.as_ref().map(|key| key.span)),
        ("time", spec.time.as_ref().map(|key| key.span)),
        ("fill", spec.fill.as_ref().map(|key| key.span)),
    ] {
        if let Some(span) = span {
            problems.add(
                Diagnostic::error(
                    "misplaced-key",
                    format!("`{key}` needs a `from`; arithmetic over KPIs reads no rows"),
                )
                .at(span)
                .hint(format!("put `{key}` into the KPIs that the value names")),
            );
        }
    }
    let uses = match inputs_of(context, value) {
        Ok(uses) => uses,
        Err(diagnostic) => {
            problems.add(*diagnostic);
            return Shaped::Broken;
        }
    };
    let mut inputs: Vec<Input> = Vec::new();
    for used in &uses.inputs {
        let name = used.kpi.value.as_str();
        if let Some(reason) = skipped.get(name) {
            return Shaped::Skipped(format!("it needs `{name}`, and {reason}"));
        }
        if !ready.contains_key(name) {
            // Unknown names are reported when the order is made; broken ones where they stand.
            return Shaped::Broken;
        }
        for (looker, previous) in offsets(&used.input, ready) {
            for grain in grains.iter().filter(|grain| previous.periods(**grain).is_none()) {
                let length = describe(previous);
                let message = match looker {
                    None => format!("{length} is no whole number of {grain}s, and this KPI has the grain {grain}"),
                    Some(looker) => format!(
                        "`{looker}` looks back {length}, which is no whole number of {grain}s, and this KPI has the grain {grain}"
                    ),
                };
                let hint = match looker {
                    None => "leave the length out for the period before, or leave the grain out",
                    Some(_) => "leave the grain out",
                };
                problems.add(Diagnostic::error("offset-not-whole", message).at(used.kpi.span).hint(hint));
            }
        }
        if !inputs.contains(&used.input) {
            inputs.push(used.input.clone());
        }
    }
    if inputs.is_empty() {
        problems.add(
            Diagnostic::error("no-input", "the value names no KPI, and there is no `from`")
                .at(value.text.span)
                .hint("add `from:` with the table to aggregate, or name KPIs in the value"),
        );
        return Shaped::Broken;
    }
    let wanted = spec.by.iter().flatten().flat_map(|set| set.items());
    for name in wanted.chain(spec.required_dimensions.iter().flatten().cloned()) {
        for input in &inputs {
            shares_dimension(context, &ready[&input.kpi], &name, ready, problems);
        }
    }
    for input in &inputs {
        let missing: Vec<&str> = (ready[&input.kpi].required_dimensions.iter().map(String::as_str))
            .filter(|name| !spec.required_dimensions.iter().flatten().any(|own| own.value == *name))
            .collect();
        if !missing.is_empty() {
            problems.add(
                Diagnostic::error(
                    "required-dimension",
                    format!("`{}` must not be asked without {}", input.kpi, list(missing.iter().copied())),
                )
                .at(value.text.span)
                .hint(format!("add `required_dimensions: [{}]`", missing.join(", "))),
            );
        }
    }
    // Inputs stand beside dimensions and row counts in one query, so their names must differ from those.
    let dimensions: Vec<String> = spec.by.iter().flatten().flat_map(|set| set.items()).map(|name| name.value).collect();
    let row_counts: Vec<String> = inputs.iter().map(|input| input_rows(&input.name)).collect();
    let is_taken = |name: &String| {
        ["before", "period_start", ROWS].contains(&name.as_str())
            || dimensions.contains(name)
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

/// How far an input looks back, and how far those below it do, with their names.
fn offsets<'a>(input: &Input, ready: &'a BTreeMap<String, Arc<Kpi>>) -> Vec<(Option<&'a str>, Previous)> {
    let mut found: Vec<(Option<&str>, Previous)> = input.previous.iter().map(|previous| (None, *previous)).collect();
    if let Some(kpi) = ready.get(&input.kpi)
        && let Shape::Arithmetic(arithmetic) = &kpi.shape
    {
        let below = arithmetic.inputs.iter().flat_map(|below| offsets(below, ready));
        found.extend(below.map(|(looker, previous)| (Some(looker.unwrap_or(&kpi.name)), previous)));
    }
    found
}

fn describe(previous: Previous) -> String {
    match previous {
        Previous::Period => "one period".into(),
        Previous::Length { count: 1, unit } => format!("1 {unit}"),
        Previous::Length { count, unit } => format!("{count} {unit}s"),
    }
}

/// Every input of a KPI must know a dimension for it to mean something.
fn shares_dimension(
    context: &Context,
    kpi: &Kpi,
    name: &Spanned<String>,
    ready: &BTreeMap<String, Arc<Kpi>>,
    problems: &mut Problems,
) {
    match &kpi.shape {
        Shape::Aggregate(aggregate) => match dimension(context, &aggregate.table, name) {
            Ok(_) => {}
            Err(Unresolved::Mistake(mistake)) => {
                let mistake = as_dimension(context, *mistake, name, &aggregate.table);
                let mut diagnostic = Diagnostic::error(
                    "dimension-not-shared",
                    format!("`{}` cannot be broken down by `{}`: {}", kpi.name, name.value, mistake.message),
                )
                .at(name.span);
                diagnostic.hint = mistake.hint;
                problems.add(diagnostic);
            }
            Err(Unresolved::Missing { .. } | Unresolved::Elsewhere) => {}
        },
        Shape::Arithmetic(arithmetic) => {
            for input in &arithmetic.inputs {
                shares_dimension(context, &ready[&input.kpi], name, ready, problems);
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

        fn column(&mut self, name: &Ident, previous: Option<Previous>) -> SqlExpr {
            let kpi = Spanned::new(name.value.clone(), self.place(name.span));
            let column = match previous {
                None => name.value.clone(),
                Some(Previous::Period) => format!("previous_{}", name.value),
                Some(Previous::Length { count, unit }) => format!("previous_{}_{count}_{unit}", name.value),
            };
            self.inputs.push(Use { kpi, input: Input { name: column.clone(), kpi: name.value.clone(), previous } });
            SqlExpr::Identifier(Ident { value: column, quote_style: Some('"'), span: name.span })
        }

        fn function(&mut self, function: &Function) -> Result<Option<SqlExpr>, Unresolved> {
            let name = function.name.to_string().to_lowercase();
            let place = self.place(function.name.span());
            match name.as_str() {
                "previous" => previous_call(self, function, place).map(Some).map_err(Unresolved::Mistake),
                "total" | "start_of" => Err(not_yet(&name, place).into()),
                "sum" | "count" | "min" | "max" | "avg" => Err(Diagnostic::error(
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
                Some(collect.column(&name, None))
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
    return Ok(Uses { inputs, sql });

    fn previous_call(
        collect: &mut Collect,
        function: &Function,
        place: crate::diagnostic::Span,
    ) -> Result<SqlExpr, Box<Diagnostic>> {
        let usage = || {
            Box::new(
                Diagnostic::error(
                    "wrong-value",
                    "`previous` takes a KPI, and a length of time if it is not the period before",
                )
                .at(place)
                .hint("such as `previous(total_revenue)` or `previous(total_revenue, 1 year)`"),
            )
        };
        let FunctionArguments::List(arguments) = &function.args else { return Err(usage()) };
        let arguments: Vec<&SqlExpr> = arguments
            .args
            .iter()
            .filter_map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(sql)) => Some(sql),
                _ => None,
            })
            .collect();
        match arguments.as_slice() {
            [SqlExpr::Identifier(name)] => Ok(collect.column(name, Some(Previous::Period))),
            [
                SqlExpr::Identifier(name),
                SqlExpr::Value(ValueWithSpan { value: SqlValue::SingleQuotedString(length), .. }),
            ] => {
                let previous = read_length(length).ok_or_else(usage)?;
                Ok(collect.column(name, Some(previous)))
            }
            _ => Err(usage()),
        }
    }
}

/// Reads `1 year` or `3 months`.
fn read_length(text: &str) -> Option<Previous> {
    let (count, unit) = text.trim().split_once(char::is_whitespace)?;
    let unit = unit.trim();
    let unit: Grain = unit.strip_suffix('s').unwrap_or(unit).parse().ok()?;
    let count: i64 = count.parse().ok().filter(|count| *count > 0)?;
    Some(Previous::Length { count, unit })
}
