//! Typed expressions from resolved SQL: DataFusion plans and checks them against the schema of the rows.
//!
//! What SQL leaves to dialects is settled here for every expression of a definition: `/` is true division, and dividing
//! by zero or nothing gives NULL. It does not look up names; `expression` has done that.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, plan_err};
use datafusion::execution::SessionState;
use datafusion::functions::expr_fn::nullif;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator, cast, lit};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, ExprWithAlias};

use crate::diagnostic::Diagnostic;

/// Plans an expression over `schema`, and says its type.
///
/// # Errors
/// What DataFusion says where types do not fit; see [`mistake`].
pub(super) fn plan(state: &SessionState, sql: SqlExpr, schema: &DFSchema) -> Result<(Expr, DataType)> {
    let sql = ExprWithAlias { expr: sql, alias: None };
    let expression = state.create_logical_expr_from_sql_expr(sql, schema)?;
    // DataFusion names `count(*)` by an alias, which would hide the count from whoever looks at the expression.
    let expression = true_division(expression.unalias_nested().data)?;
    let data_type = type_of(&expression, schema)?;
    Ok((expression, data_type))
}

/// The type that an expression has once DataFusion has made its operands agree.
pub(super) fn type_of(expression: &Expr, schema: &DFSchema) -> Result<DataType> {
    let context = SimplifyContext::builder().with_schema(Arc::new(schema.clone())).build();
    let coerced = ExprSimplifier::new(context).coerce(expression.clone(), schema)?;
    texts_fit(&coerced)?;
    coerced.get_type(schema)
}

/// A text written in an expression that stands for a date or number must be one; else every run would fail.
fn texts_fit(expression: &Expr) -> Result<()> {
    expression.apply(|node| {
        if let Expr::Cast(cast) = node
            && let Expr::Literal(value, _) = cast.expr.as_ref()
            && let Some(Some(text)) = value.try_as_str()
            && value.cast_to(cast.field.data_type()).is_err()
        {
            return plan_err!("`{text}` is no {}", type_name(cast.field.data_type()));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// `/` as mathematics has it: a double, and NULL where the denominator is 0 or missing. `%` by 0 is NULL as well.
fn true_division(expression: Expr) -> Result<Expr> {
    expression
        .transform_up(|expression| {
            let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expression else {
                return Ok(Transformed::no(expression));
            };
            let (left, right) = match op {
                Operator::Divide => (cast(*left, DataType::Float64), nullif(cast(*right, DataType::Float64), lit(0.0))),
                Operator::Modulo => (*left, nullif(*right, lit(0_i64))),
                _ => return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))),
            };
            Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr { left: Box::new(left), op, right: Box::new(right) })))
        })
        .map(|transformed| transformed.data)
}

/// Both sides of the division that `true_division` made, where it is the outermost operation.
pub(super) fn ratio(expression: &Expr) -> Option<(Expr, Expr)> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Divide, right }) = expression else { return None };
    let Expr::ScalarFunction(function) = right.as_ref() else { return None };
    let [denominator, zero] = function.args.as_slice() else { return None };
    let is_ours = function.name() == "nullif" && matches!(zero, Expr::Literal(ScalarValue::Float64(Some(0.0)), _));
    is_ours.then(|| (without_cast(left).clone(), without_cast(denominator).clone()))
}

fn without_cast(expression: &Expr) -> &Expr {
    match expression {
        Expr::Cast(cast) if cast.field.data_type() == &DataType::Float64 => &cast.expr,
        other => other,
    }
}

/// An expression that DataFusion cannot type, as a mistake without a place.
pub(super) fn mistake(error: &DataFusionError) -> Diagnostic {
    let diagnostic = Diagnostic::error("invalid-expression", message(error));
    let text = error.strip_backtrace();
    let is_text = wrong_argument(&text).is_some_and(|(_, data_type)| data_type == "text")
        || wrong_operands(&text).is_some_and(|(left, _, right)| left == "text" || right == "text");
    if is_text {
        return diagnostic.hint("if the column holds numbers or dates, give it a `type` in the `columns` of its table");
    }
    diagnostic
}

/// The function and the type that it does not take, out of a complaint that lists every signature.
fn wrong_argument(text: &str) -> Option<(&str, &str)> {
    let (front, errors) = text.split_once("' failed to match any signature")?;
    let function = front.rsplit_once('\'')?.1;
    let received = errors.split_once("(DataType: ")?.1.split_once(')')?.0;
    Some((function, word_for(received)))
}

/// The operator and the types that it cannot bring together.
fn wrong_operands(text: &str) -> Option<(&str, &str, &str)> {
    let operands = text.split_once("Cannot coerce arithmetic expression ")?.1.split_once(" to valid types")?.0;
    let (left, rest) = operands.split_once(' ')?;
    let (operator, right) = rest.split_once(' ')?;
    Some((word_for(left), operator, word_for(right)))
}

/// The language's word for a type as DataFusion writes it.
fn word_for(data_type: &str) -> &str {
    let starts = [
        ("Utf8", "text"),
        ("LargeUtf8", "text"),
        ("Date", "date"),
        ("Timestamp", "timestamp"),
        ("Boolean", "boolean"),
        ("Int", "integer"),
        ("UInt", "integer"),
        ("Float", "double"),
        ("Decimal", "decimal"),
    ];
    starts.iter().find(|(start, _)| data_type.starts_with(start)).map_or(data_type, |(_, word)| word)
}

/// DataFusion's complaint in one line, without its own prefixes.
pub(super) fn message(error: &DataFusionError) -> String {
    if let Some((function, data_type)) = wrong_argument(&error.strip_backtrace()) {
        return format!("`{function}` does not take {data_type}");
    }
    if let Some((left, operator, right)) = wrong_operands(&error.strip_backtrace()) {
        return format!("`{operator}` does not go with {left} and {right}");
    }
    let text = match error.diagnostic() {
        Some(diagnostic) => diagnostic.message.clone(),
        None => error.strip_backtrace(),
    };
    let first = text.lines().next().unwrap_or_default();
    let prefixes = [
        "Internal error: ",
        "Error during planning: ",
        "Schema error: ",
        "This feature is not implemented: ",
        "type_coercion\ncaused by\n",
    ];
    prefixes.iter().fold(first, |text, prefix| text.trim_start_matches(prefix)).to_owned()
}

/// A type in the language's own words.
pub(super) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => "text".into(),
        DataType::Boolean => "boolean".into(),
        DataType::Date32 | DataType::Date64 => "date".into(),
        DataType::Timestamp(_, _) => "timestamp".into(),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => "double".into(),
        DataType::Dictionary(_, value) => type_name(value),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => {
            format!("decimal({p},{s})")
        }
        other if other.is_integer() => "integer".into(),
        other => other.to_string(),
    }
}
