//! The columns of a table as its definition names, types and cleans them.
//!
//! A value that does not fit its type is found when it is read; here only expressions are made.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ScalarValue, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::functions::expr_fn::{
    btrim, character_length, coalesce, concat, starts_with, to_date, to_timestamp_micros,
};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast, lit, when};
use datafusion::prelude::SessionContext;

use super::expression::{Language, Names, Namespace, resolve};
use super::tables::unknown_column;
use super::{Problems, typing};
use crate::catalog::{CsvOptions, Source};
use crate::diagnostic::{Diagnostic, nearest};
use crate::functions::{instant_of, local_date};
use crate::model::TypedText;
use crate::spec::{ColumnSpec, SettingValue, Spanned, TableSpec};

/// The columns of CSV files that are read as something else than text.
pub(super) fn typed_texts(spec: &TableSpec, source: &Source) -> Vec<TypedText> {
    let written = |column: &str| {
        let by_name = |(name, spec): &&(Spanned<String>, Spanned<ColumnSpec>)| {
            spec.from.as_ref().unwrap_or(name).value == column && spec.expression.is_none()
        };
        spec.columns.iter().find(by_name).map(|(_, spec)| spec)
    };
    let typed = source.suggested_types.iter().filter_map(|(column, suggested)| {
        let spec = written(column);
        let declared = spec.and_then(|spec| spec.data_type.as_ref());
        // A type that cannot be read is reported where it stands.
        let data_type = match declared {
            Some(declared) => parse_type(declared, &mut Problems::default())?,
            None => suggested.clone(),
        };
        let format = spec.and_then(|spec| spec.format.as_ref()).map(|format| format.value.clone());
        let name = typing::type_name(&data_type);
        let is_guess = declared.is_none();
        (name != "text").then(|| TypedText { column: column.clone(), data_type, format, name, is_guess })
    });
    typed.collect()
}

/// The rows of CSV files that no definition describes, whose columns are texts, with the types that they look like. A text that does not fit fails
/// when it is read, also a code such as `007` where the values before it looked like numbers.
///
/// # Errors
/// As DataFusion refuses a name.
pub fn rows_as_they_seem(
    files: Arc<dyn TableProvider>,
    types: &[(String, DataType)],
) -> datafusion::common::Result<LogicalPlan> {
    let raw = LogicalPlanBuilder::scan("files", provider_as_source(files), None)?;
    let plain = ColumnSpec::default();
    let columns: Vec<Expr> = (raw.schema().iter())
        .map(|(qualifier, field)| {
            // Partitions have a type already.
            let suggested = types.iter().find(|(name, _)| name == field.name() && is_text(field.data_type()));
            let wanted = suggested.map(|(_, data_type)| data_type.clone()).filter(|data_type| !data_type.is_null());
            let value = Expr::Column(Column::new(qualifier.cloned(), field.name()));
            let value = without_codes(value, wanted.as_ref());
            let read_as = ReadAs { column: &plain, null_values: &[], suggested: None, time_zone: "UTC" };
            // Only what a definition says can be a mistake.
            let problems = &mut Problems::default();
            convert(value, field.data_type(), wanted.as_ref(), &read_as, problems).alias(field.name())
        })
        .collect();
    raw.project(columns)?.build()
}

/// Reads the name of a type.
pub(super) fn parse_type(text: &Spanned<String>, problems: &mut Problems) -> Option<DataType> {
    const NAMES: [&str; 7] = ["text", "integer", "double", "decimal(18,2)", "boolean", "date", "timestamp"];
    let name = text.value.to_lowercase().replace(' ', "");
    let simple = match name.as_str() {
        "text" => Some(DataType::Utf8View),
        "integer" => Some(DataType::Int64),
        "double" => Some(DataType::Float64),
        "boolean" => Some(DataType::Boolean),
        "date" => Some(DataType::Date32),
        "timestamp" => Some(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        _ => None,
    };
    let decimal = || {
        let (precision, scale) = name.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?;
        let (precision, scale): (u8, i8) = (precision.parse().ok()?, scale.parse().ok()?);
        let fits = (1..=38).contains(&precision) && scale >= 0 && scale as u8 <= precision;
        fits.then_some(DataType::Decimal128(precision, scale))
    };
    let found = simple.or_else(decimal);
    if found.is_none() {
        let diagnostic = Diagnostic::error("unknown-type", format!("there is no type `{}`", text.value)).at(text.span);
        problems.add(match nearest(&name, NAMES) {
            Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
            None => diagnostic.hint(match name.as_str() {
                "decimal" | "numeric" | "money" => {
                    "write how many digits it has, and how many of them behind the point: `decimal(18,2)`"
                }
                "int" | "bigint" | "smallint" | "long" => "write `integer`",
                "varchar" | "string" | "char" => "write `text`",
                "float" | "real" | "number" => "write `double`",
                "datetime" => "write `timestamp`",
                _ => "the types are text, integer, double, decimal(p,s), boolean, date and timestamp",
            }),
        });
    }
    found
}

/// The columns of a table as its definition names, casts and cleans them.
pub(super) fn clean_columns(
    context: &SessionContext,
    language: &Language,
    spec: &TableSpec,
    raw: &LogicalPlanBuilder,
    files: Option<(&Source, &CsvOptions)>,
    absent: &BTreeSet<String>,
    problems: &mut Problems,
) -> Vec<Expr> {
    let raw_names: Vec<String> = raw.schema().fields().iter().map(|field| field.name().clone()).collect();
    let null_values: &[String] = files.map(|(_, csv)| csv.null_values.as_slice()).unwrap_or_default();
    let suggested = |name: &str| {
        let (source, _) = files?;
        source.suggested_types.iter().find(|(column, _)| column == name).map(|(_, data_type)| data_type.clone())
    };
    let mut projected = Vec::new();
    let mut used: BTreeSet<String> = BTreeSet::new();
    for (name, column) in spec.columns.iter() {
        let wanted = column.data_type.as_ref().map(|data_type| parse_type(data_type, problems));
        let wanted = match wanted {
            Some(None) => continue,
            Some(Some(data_type)) => Some(data_type),
            None => None,
        };
        if let Some(expression) = &column.expression {
            let schema = raw.schema();
            let Some((expression, found)) =
                raw_expression(context, language, spec, expression, (schema, null_values), problems)
            else {
                continue;
            };
            used.insert(name.value.clone());
            let read_as = ReadAs { column, null_values: &[], suggested: None, time_zone: language.time_zone };
            let is_absent = expression.column_refs().iter().any(|column| absent.contains(column.name()));
            let value = match convert(expression, &found, wanted.as_ref(), &read_as, problems) {
                _ if is_absent && column.default_value.is_some() => lit(ScalarValue::Null),
                value => value,
            };
            projected.push(or_default(value, column, wanted.as_ref(), problems).alias(&name.value));
            continue;
        }
        let from = column.from.as_ref().unwrap_or(name);
        // An absent column that others read as well is there in the plan only.
        let is_there = column.default_value.is_none() || !absent.contains(&from.value);
        let found = raw.schema().iter().find(|(_, field)| is_there && field.name() == &from.value);
        let Some((qualifier, field)) = found.map(|(qualifier, field)| (qualifier.cloned(), field.clone())) else {
            if column.default_value.is_some() {
                let nothing = lit(ScalarValue::Null);
                projected.push(or_default(nothing, column, wanted.as_ref(), problems).alias(&name.value));
                continue;
            }
            let mut diagnostic = unknown_column(from, &spec.table.value, raw_names.iter().map(String::as_str));
            if column.from.is_none() {
                diagnostic.hint = diagnostic.hint.map(|hint| format!("{hint}; or name the file's column with `from:`"));
            }
            problems.add(diagnostic);
            continue;
        };
        used.insert(from.value.clone());
        let suggested = suggested(&from.value).filter(|_| column.format.is_none());
        let is_guess = wanted.is_none();
        let wanted = wanted.or_else(|| suggested.clone());
        let read_as = ReadAs { column, null_values, suggested, time_zone: language.time_zone };
        let expression = Expr::Column(Column::new(qualifier, field.name()));
        let expression = if is_guess { without_codes(expression, wanted.as_ref()) } else { expression };
        let value = convert(expression, field.data_type(), wanted.as_ref(), &read_as, problems);
        projected.push(or_default(value, column, wanted.as_ref(), problems).alias(&name.value));
    }
    let mut rest = Vec::new();
    for (qualifier, field) in raw.schema().iter() {
        if used.contains(field.name()) || spec.columns.get(field.name()).is_some() {
            continue;
        }
        let expression = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        let plain = ColumnSpec::default();
        let wanted = suggested(field.name());
        let expression = without_codes(expression, wanted.as_ref());
        let read_as = ReadAs { column: &plain, null_values, suggested: None, time_zone: language.time_zone };
        rest.push(convert(expression, field.data_type(), wanted.as_ref(), &read_as, problems).alias(field.name()));
    }
    rest.extend(projected);
    rest
}

/// A value, or what the definition puts in the place of none.
fn or_default(value: Expr, column: &ColumnSpec, wanted: Option<&DataType>, problems: &mut Problems) -> Expr {
    let Some(default) = &column.default_value else { return value };
    let literal = match &default.value {
        SettingValue::Boolean(value) => ScalarValue::from(*value),
        SettingValue::Integer(value) => ScalarValue::from(*value),
        SettingValue::Number(value) => ScalarValue::from(*value),
        SettingValue::Text(value) => ScalarValue::from(value.as_str()),
        SettingValue::Nothing => ScalarValue::Null,
    };
    let literal = match wanted.map(|wanted| literal.cast_to(wanted)) {
        Some(Ok(literal)) => literal,
        None => literal,
        Some(Err(_)) => {
            let type_name = wanted.map(typing::type_name).unwrap_or_default();
            problems.add(
                Diagnostic::error("wrong-type", format!("`default` is no {type_name}"))
                    .at(default.span)
                    .hint("write a value of the column's `type`"),
            );
            return value;
        }
    };
    match value {
        Expr::Literal(ScalarValue::Null, _) => lit(literal),
        value => coalesce(vec![value, lit(literal)]),
    }
}

fn raw_expression(
    context: &SessionContext,
    language: &Language,
    spec: &TableSpec,
    text: &Spanned<String>,
    (schema, null_values): (&DFSchema, &[String]),
    problems: &mut Problems,
) -> Option<(Expr, DataType)> {
    let parsed = problems.take(language.parse(text))?;
    if let Some(diagnostic) = language.aggregate_in_row(&parsed, "a column") {
        problems.add(diagnostic);
        return None;
    }
    let names = Names {
        table: spec.table.value.clone(),
        columns: schema.fields().iter().map(|field| field.name().clone()).collect(),
        ..Names::default()
    };
    let unqualified =
        DFSchema::try_from_qualified_schema(TableReference::bare(spec.table.value.as_str()), schema.as_arrow());
    let unqualified = problems.planned(unqualified, text.span)?;
    let namespace = Namespace::from([(names.table.clone(), names)]);
    let resolved = problems.resolved(resolve(language, &namespace, &spec.table.value, &parsed))?;
    let (expression, data_type) = match typing::plan(&context.state(), resolved.sql, &unqualified) {
        Ok(planned) => planned,
        Err(error) => {
            let mut diagnostic = typing::mistake(&error).at(text.span);
            if diagnostic.hint.is_some() {
                diagnostic.hint =
                    Some("values of a CSV file are text here; cast them, such as `CAST(x AS DOUBLE)`".into());
            }
            problems.add(diagnostic);
            return None;
        }
    };
    // The rows behind it still have the name of their files, and their words for no value.
    let own = TableReference::bare(spec.table.value.as_str());
    let expression = TreeNode::transform_down(expression, |node| match node {
        Expr::Column(column) if column.relation.as_ref() == Some(&own) => {
            let qualifier = schema.qualified_field_with_unqualified_name(&column.name)?.0.cloned();
            let value = Expr::Column(Column::new(qualifier, column.name));
            let value = if is_text(&value.get_type(schema)?) { without_null_words(value, null_values) } else { value };
            // Not looked into again: the value itself stands inside what takes its place.
            Ok(Transformed::new(value, true, TreeNodeRecursion::Jump))
        }
        other => Ok(Transformed::no(other)),
    });
    Some((problems.planned(expression, text.span)?.data, data_type))
}

/// How the values of a column are read.
struct ReadAs<'a> {
    column: &'a ColumnSpec,
    null_values: &'a [String],
    /// What the texts of a CSV file look like.
    suggested: Option<DataType>,
    /// The project's, in which instants have their days.
    time_zone: &'a str,
}

/// A text that is guessed to be a whole number, made unreadable where it is a code such as `007` after all: a guess from
/// the first rows must not take zeros from later ones.
fn without_codes(value: Expr, guess: Option<&DataType>) -> Expr {
    if guess != Some(&DataType::Int64) {
        return value;
    }
    let text = btrim(vec![value.clone()]);
    let has_zero = starts_with(text.clone(), lit("0")).and(character_length(text.clone()).gt(lit(1)));
    let is_code = has_zero.or(starts_with(text.clone(), lit("+")));
    when(is_code, concat(vec![lit("code "), text])).otherwise(value.clone()).unwrap_or(value)
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8)
}

/// A text, or NULL where it is a word for no value.
fn without_null_words(value: Expr, words: &[String]) -> Expr {
    if words.is_empty() {
        return value;
    }
    let words = words.iter().map(|word| lit(word.as_str())).collect();
    when(value.clone().in_list(words, true), value.clone()).end().unwrap_or(value)
}

/// Casts a value to the type wanted, and reads texts the way the column's definition says.
fn convert(
    value: Expr,
    found: &DataType,
    wanted: Option<&DataType>,
    read_as: &ReadAs,
    problems: &mut Problems,
) -> Expr {
    let ReadAs { column, null_values, suggested, time_zone } = read_as;
    let is_text = is_text(found);
    let value = if is_text { without_null_words(value, null_values) } else { value };
    let zone = column.time_zone.as_ref().and_then(|zone| match zone.parse::<chrono_tz::Tz>() {
        Ok(_) => Some(zone.as_str()),
        Err(_) if zone.value == "project" => Some(*time_zone),
        Err(_) => {
            problems.add(super::unknown_zone(zone));
            None
        }
    });
    let Some(wanted) = wanted else {
        if let (DataType::Timestamp(_, None), Some(zone)) = (found, zone) {
            return in_zone(value, zone);
        }
        if let Some(format) = &column.format {
            problems.add(
                Diagnostic::error("missing-key", "`format` needs `type: date` or `type: timestamp` beside it")
                    .at(format.span)
                    .hint("write `type: date`"),
            );
        }
        return wide_integer(value, found);
    };
    match (wanted, &column.format) {
        (DataType::Date32, Some(format)) if is_text => to_date(vec![btrim(vec![value]), lit(format.value.as_str())]),
        (DataType::Timestamp(_, _), Some(format)) if is_text => {
            let local = to_timestamp_micros(vec![btrim(vec![value]), lit(format.value.as_str())]);
            // With an offset in the text, what DataFusion reads is UTC already.
            let has_offset = ["%z", "%:z", "%::z", "%:::z", "%#z", "%+"].iter().any(|sign| format.contains(sign));
            in_zone(local, zone.filter(|_| !has_offset).unwrap_or("UTC"))
        }
        (_, Some(format)) if column.format.is_some() => {
            let (reason, hint) = match is_text {
                true => ("only dates and timestamps have a `format`", "write `type: date`, or leave `format` out"),
                false => ("the column is no text, so it has no `format`", "leave `format` out"),
            };
            problems.add(Diagnostic::error("wrong-value", reason).at(format.span).hint(hint));
            value
        }
        (DataType::Timestamp(_, _), None) if is_text => match zone {
            Some(zone) => in_zone(btrim(vec![value]), zone),
            None => cast(btrim(vec![value]), wanted.clone()),
        },
        (DataType::Date32, None) if is_text && matches!(suggested, Some(DataType::Timestamp(_, _))) => {
            local_day(in_zone(btrim(vec![value]), zone.unwrap_or("UTC")), time_zone)
        }
        (DataType::Date32, None) if matches!(found, DataType::Timestamp(_, _)) => match (found, zone) {
            (DataType::Timestamp(_, None), Some(zone)) => local_day(in_zone(value, zone), time_zone),
            _ => local_day(value, time_zone),
        },
        (DataType::Timestamp(_, _), None) => match (found, zone) {
            // A day begins where it is one; midnight in UTC may lie in the day before.
            (DataType::Date32, zone) => {
                let local = cast(value, DataType::Timestamp(TimeUnit::Microsecond, None));
                in_zone(local, zone.unwrap_or(time_zone))
            }
            (DataType::Timestamp(_, None), zone) => in_zone(value, zone.unwrap_or("UTC")),
            _ => cast(value, wanted.clone()),
        },
        (DataType::Utf8View, _) if is_text => value,
        _ if is_text => cast(btrim(vec![value]), wanted.clone()),
        _ if found == wanted => value,
        _ => cast(value, wanted.clone()),
    }
}

/// Whole numbers in 64 bits with a sign, as the language has them: narrower ones and those without a sign would wrap in
/// products and differences.
fn wide_integer(value: Expr, found: &DataType) -> Expr {
    match found {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => {
            cast(value, DataType::Int64)
        }
        DataType::UInt64 => cast(value, DataType::Decimal128(20, 0)),
        _ => value,
    }
}

/// A timestamp without a zone, or a text, read as the local time of one.
fn in_zone(local: Expr, zone: &str) -> Expr {
    instant_of().call(vec![local, lit(zone)])
}

/// The day of an instant in the project's zone.
fn local_day(instant: Expr, zone: &str) -> Expr {
    local_date().call(vec![instant, lit(zone)])
}
