//! A value taken apart: the aggregates inside it become measures, and what is left is arithmetic over their columns.
//!
//! It does not look up names or plan SQL; the value is typed already.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::functions::expr_fn::nullif;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, cast, lit};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;

use super::typing;
use crate::diagnostic::Diagnostic;
use crate::model::{Measure, MeasureFunction, Percentile, ROWS, measure_expression};

pub(super) fn measured_schema<'a>(columns: impl Iterator<Item = (&'a str, DataType)>) -> DFSchema {
    let fields: Vec<Field> = columns.map(|(name, data_type)| Field::new(name, data_type, true)).collect();
    DFSchema::try_from(Schema::new(fields)).expect("measure names are unique")
}

/// Takes the aggregates out of a value, to those that are there already: what is left is arithmetic over their columns.
pub(super) fn take_measures(value: Expr, schema: &DFSchema, measures: &mut Vec<Measure>) -> Result<Expr, Diagnostic> {
    let mut mistake: Option<Diagnostic> = None;
    let taken = value.transform_down(|node| {
        let Expr::AggregateFunction(call) = &node else { return Ok(Transformed::no(node)) };
        match measure_of(call, measures, schema) {
            Ok(replacement) => Ok(Transformed::new(replacement, true, TreeNodeRecursion::Jump)),
            Err(diagnostic) => {
                mistake.get_or_insert(diagnostic);
                Ok(Transformed::new(node, false, TreeNodeRecursion::Stop))
            }
        }
    });
    let taken = taken.map_err(|error| typing::mistake(&error))?.data;
    if let Some(mistake) = mistake {
        return Err(mistake);
    }
    if taken.column_refs().is_empty() {
        return Err(Diagnostic::error("not-an-aggregate", "a value is made of aggregates, and here is none")
            .hint("say how rows come together, such as `sum(amount)`, `count(*)` or `avg(score)`"));
    }
    let loose = taken.column_refs().into_iter().find(|column| column.relation.is_some()).cloned();
    if let Some(column) = loose {
        return Err(Diagnostic::error("not-an-aggregate", format!("`{}` stands outside an aggregate", column.name))
            .hint(format!(
                "a period has many rows; say which value is meant, such as `sum({0})` or `max({0})`",
                column.name
            )));
    }
    Ok(taken)
}

fn measure_of(call: &AggregateFunction, measures: &mut Vec<Measure>, schema: &DFSchema) -> Result<Expr, Diagnostic> {
    let parameters = &call.params;
    let name = call.func.name().to_lowercase();
    let (distinct, filter) = (parameters.distinct, parameters.filter.as_deref().cloned());
    let argument = parameters.args.first().cloned();
    if let Some(inner) = argument
        .iter()
        .chain(&filter)
        .find(|inner| inner.exists(|node| Ok(matches!(node, Expr::AggregateFunction(_)))).unwrap_or(false))
        && inner.exists(|node| Ok(matches!(node, Expr::AggregateFunction(_)))).unwrap_or(false)
    {
        return Err(Diagnostic::error("nested-aggregate", "an aggregate stands inside an aggregate")
            .hint("compute the inner one in a derived table (a `.sql` file)"));
    }
    let mut add = |function, argument: Option<Expr>| {
        measure(measures, function, argument.into_iter().collect(), filter.clone(), schema)
    };
    match name.as_str() {
        "count" if distinct && parameters.args.len() == 1 => add(MeasureFunction::CountDistinct, argument),
        "count" if !distinct => match argument {
            None => add(MeasureFunction::Count, None),
            Some(Expr::Literal(value, _)) if !value.is_null() => add(MeasureFunction::Count, None),
            #[allow(deprecated)]
            Some(Expr::Wildcard { .. }) => add(MeasureFunction::Count, None),
            argument if parameters.args.len() == 1 => add(MeasureFunction::Count, argument),
            _ => Err(Diagnostic::error("wrong-value", "`count` takes one expression or `*`")),
        },
        "count" => Err(Diagnostic::error("wrong-value", "`count(DISTINCT ...)` takes one expression")
            .hint("put several columns together, such as `count(DISTINCT concat_ws('|', a, b))`")),
        "min" => add(MeasureFunction::Min, argument),
        "max" => add(MeasureFunction::Max, argument),
        "sum" | "avg" if distinct => Err(of_distinct_values(&name, "sum")),
        name if distinct && FUNCTIONS.contains(&name) => Err(of_distinct_values(name, name)),
        "sum" => add(MeasureFunction::Sum, argument),
        "avg" => {
            let (sum, count) = (add(MeasureFunction::Sum, argument.clone())?, add(MeasureFunction::Count, argument)?);
            Ok(true_ratio(sum, count))
        }
        "median" => add(MeasureFunction::Median, argument),
        "percentile_cont" => add(MeasureFunction::PercentileCont(percentile(call)?), argument),
        "percentile_disc" => add(MeasureFunction::PercentileDisc(percentile(call)?), argument),
        "stddev" => add(MeasureFunction::StddevSamp, argument),
        "stddev_pop" => add(MeasureFunction::StddevPop, argument),
        "var" => add(MeasureFunction::VarSamp, argument),
        "var_pop" => add(MeasureFunction::VarPop, argument),
        "corr" => measure(measures, MeasureFunction::Correlation, parameters.args.clone(), filter, schema),
        // It is unsigned, where one less than nothing would be 2^64 - 1.
        "approx_distinct" => add(MeasureFunction::ApproxDistinct, argument).map(|column| cast(column, DataType::Int64)),
        "approx_median" => add(MeasureFunction::ApproxMedian, argument),
        "approx_percentile_cont" if parameters.args.len() == 2 => {
            add(MeasureFunction::ApproxPercentileCont(percentile(call)?), argument)
        }
        "approx_percentile_cont" => {
            Err(Diagnostic::error("wrong-value", "`approx_percentile_cont` takes a percentile and nothing else")
                .hint("write `approx_percentile_cont(0.9) WITHIN GROUP (ORDER BY x)`"))
        }
        _ => Err(Diagnostic::error(
            "unknown-aggregate",
            format!("the aggregate `{name}` has no place in a value, which is one number that is the same at each run"),
        )
        .hint(format!(
            "the aggregates are count, min, max, {}; another one can stand in a derived table (a `.sql` file)",
            FUNCTIONS.join(", ")
        ))),
    }
}

/// The aggregates of a value by the names that DataFusion gives them, but for those that may be over `DISTINCT` values.
const FUNCTIONS: [&str; 13] = [
    "sum",
    "avg",
    "median",
    "percentile_cont",
    "percentile_disc",
    "stddev",
    "stddev_pop",
    "var",
    "var_pop",
    "corr",
    "approx_distinct",
    "approx_median",
    "approx_percentile_cont",
];

fn of_distinct_values(name: &str, what: &str) -> Diagnostic {
    Diagnostic::error(
        "distinct-sum",
        format!("`{name}(DISTINCT ...)` leaves equal values out, which is no {what} of rows"),
    )
    .hint("make one row of each thing in a derived table (a `.sql` file), and aggregate that")
}

/// The percentile that a call names, and from which end it counts.
fn percentile(call: &AggregateFunction) -> Result<Percentile, Diagnostic> {
    let is_descending = call.params.order_by.first().is_some_and(|order| !order.asc);
    let wrong = |hint: String| {
        let message = format!("the percentile of `{}` is a constant between 0 and 1", call.func.name());
        Diagnostic::error("wrong-value", message).hint(hint)
    };
    let usual = || "write `0.9` for the value that nine of ten do not exceed".to_owned();
    let written = call.params.args.get(1).cloned().unwrap_or_else(|| lit(ScalarValue::Null));
    let schema = DFSchema::empty();
    let simplifier = ExprSimplifier::new(SimplifyContext::builder().with_schema(Arc::new(schema.clone())).build());
    let at = match simplifier.coerce(written, &schema).and_then(|written| simplifier.simplify(written)) {
        Ok(Expr::Literal(value, _)) => value.cast_to(&DataType::Float64).unwrap_or(ScalarValue::Null),
        Ok(_) | Err(_) => return Err(wrong(usual())),
    };
    match at {
        ScalarValue::Float64(Some(at)) if (0.0..=1.0).contains(&at) => Ok(Percentile { at, is_descending }),
        ScalarValue::Float64(Some(at)) if (1.0..=100.0).contains(&at) => Err(wrong(format!("write `{}`", at / 100.0))),
        _ => Err(wrong(usual())),
    }
}

fn true_ratio(numerator: Expr, denominator: Expr) -> Expr {
    cast(numerator, DataType::Float64) / nullif(cast(denominator, DataType::Float64), lit(0.0))
}

/// Adds a measure, or finds the same one; returns its column.
fn measure(
    measures: &mut Vec<Measure>,
    function: MeasureFunction,
    arguments: Vec<Expr>,
    filter: Option<Expr>,
    schema: &DFSchema,
) -> Result<Expr, Diagnostic> {
    let same = measures
        .iter()
        .find(|known| known.function == function && known.arguments == arguments && known.filter == filter);
    if let Some(same) = same {
        return Ok(Expr::Column(Column::from_name(&same.name)));
    }
    let expression = measure_expression(function, arguments.clone(), None);
    let data_type = typing::type_of(&expression, schema)
        .map_err(|error| Diagnostic::error("wrong-type", typing::message(&error)))?;
    let mut name = measure_name(function, &arguments, filter.as_ref());
    let taken = |name: &str| name == ROWS || measures.iter().any(|known| known.name == name);
    if taken(&name) {
        name = (2..).map(|index| format!("{name}_{index}")).find(|name| !taken(name)).unwrap_or(name);
    }
    let column = Expr::Column(Column::from_name(&name));
    measures.push(Measure { name, function, arguments, filter, data_type });
    Ok(column)
}

/// A readable column name, such as `count_is_won`, `sum_net_amount` or `percentile_90_hours`.
fn measure_name(function: MeasureFunction, arguments: &[Expr], filter: Option<&Expr>) -> String {
    const LONGEST: usize = 40;
    let numbered = |word: &str, percentile: Percentile| {
        // Rounded, since 0.29 times 100 is 28.999999999999996.
        let percent = (percentile.at * 1e8).round() / 1e6;
        format!("{word}_{percent}{}", if percentile.is_descending { "_desc" } else { "" })
    };
    let word = match function {
        MeasureFunction::Sum => "sum".to_owned(),
        MeasureFunction::Count => "count".to_owned(),
        MeasureFunction::CountDistinct => "count_distinct".to_owned(),
        MeasureFunction::Min => "min".to_owned(),
        MeasureFunction::Max => "max".to_owned(),
        MeasureFunction::Median => "median".to_owned(),
        MeasureFunction::PercentileCont(percentile) => numbered("percentile", percentile),
        MeasureFunction::PercentileDisc(percentile) => numbered("percentile_disc", percentile),
        MeasureFunction::StddevSamp => "stddev".to_owned(),
        MeasureFunction::StddevPop => "stddev_pop".to_owned(),
        MeasureFunction::VarSamp => "var".to_owned(),
        MeasureFunction::VarPop => "var_pop".to_owned(),
        MeasureFunction::Correlation => "corr".to_owned(),
        MeasureFunction::ApproxDistinct => "approx_distinct".to_owned(),
        MeasureFunction::ApproxMedian => "approx_median".to_owned(),
        MeasureFunction::ApproxPercentileCont(percentile) => numbered("approx_percentile", percentile),
    };
    let mut words = vec![word];
    for expression in arguments.iter().chain(filter) {
        let columns: BTreeSet<&str> = expression.column_refs().into_iter().map(|column| column.name.as_str()).collect();
        words.extend(columns.into_iter().map(str::to_owned));
        words.extend(texts(expression));
    }
    let name: String = words.join("_").to_lowercase();
    let name: String = name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
    name.chars().take(LONGEST).collect::<String>().trim_end_matches('_').to_owned()
}

/// The texts that an expression compares with: what tells `stage = 'won'` from `stage = 'lost'`.
fn texts(expression: &Expr) -> Vec<String> {
    let mut texts = Vec::new();
    let visited = expression.apply(|node| {
        if let Expr::Literal(value, _) = node
            && let Some(Some(text)) = value.try_as_str()
        {
            texts.push(text.to_owned());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    if visited.is_err() { Vec::new() } else { texts }
}
