//! A value taken apart: the aggregates inside it become measures, and what is left is arithmetic over their columns.
//!
//! It does not look up names or plan SQL; the value is typed already.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::functions::expr_fn::nullif;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Expr, cast, lit};

use super::typing;
use crate::diagnostic::Diagnostic;
use crate::model::{Measure, MeasureFunction, ROWS, measure_expression};

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
    let mut add = |function, argument: Option<Expr>| measure(measures, function, argument, filter.clone(), schema);
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
        "sum" if !distinct => add(MeasureFunction::Sum, argument),
        "min" => add(MeasureFunction::Min, argument),
        "max" => add(MeasureFunction::Max, argument),
        "avg" if !distinct => {
            let (sum, count) = (add(MeasureFunction::Sum, argument.clone())?, add(MeasureFunction::Count, argument)?);
            Ok(true_ratio(sum, count))
        }
        "sum" | "avg" => Err(Diagnostic::error(
            "distinct-sum",
            format!("`{name}(DISTINCT ...)` leaves equal values out, which is no sum of rows"),
        )
        .hint("make one row of each thing in a derived table (a `.sql` file), and aggregate that")),
        _ => {
            Err(Diagnostic::error("not-yet-supported", format!("the aggregate `{name}` is not in this version of kpi"))
                .hint("it has sum, count, count(DISTINCT ...), min, max and avg, each with `FILTER (WHERE ...)`"))
        }
    }
}

fn true_ratio(numerator: Expr, denominator: Expr) -> Expr {
    cast(numerator, DataType::Float64) / nullif(cast(denominator, DataType::Float64), lit(0.0))
}

/// Adds a measure, or finds the same one; returns its column.
fn measure(
    measures: &mut Vec<Measure>,
    function: MeasureFunction,
    argument: Option<Expr>,
    filter: Option<Expr>,
    schema: &DFSchema,
) -> Result<Expr, Diagnostic> {
    let same = measures
        .iter()
        .find(|known| known.function == function && known.argument == argument && known.filter == filter);
    if let Some(same) = same {
        return Ok(Expr::Column(Column::from_name(&same.name)));
    }
    let expression = measure_expression(function, argument.clone(), None);
    let data_type = typing::type_of(&expression, schema)
        .map_err(|error| Diagnostic::error("wrong-type", typing::message(&error)))?;
    let mut name = measure_name(function, argument.as_ref(), filter.as_ref());
    let taken = |name: &str| name == ROWS || measures.iter().any(|known| known.name == name);
    if taken(&name) {
        name = (2..).map(|index| format!("{name}_{index}")).find(|name| !taken(name)).unwrap_or(name);
    }
    let column = Expr::Column(Column::from_name(&name));
    measures.push(Measure { name, function, argument, filter, data_type });
    Ok(column)
}

/// A readable column name, such as `count_is_won` or `sum_net_amount`.
fn measure_name(function: MeasureFunction, argument: Option<&Expr>, filter: Option<&Expr>) -> String {
    const LONGEST: usize = 40;
    let function = match function {
        MeasureFunction::Sum => "sum",
        MeasureFunction::Count => "count",
        MeasureFunction::CountDistinct => "count_distinct",
        MeasureFunction::Min => "min",
        MeasureFunction::Max => "max",
    };
    let mut words = vec![function.to_owned()];
    for expression in argument.into_iter().chain(filter) {
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
