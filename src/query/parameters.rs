//! Values for the `$name` of statements. A value has the type that it is used as, unless it was given one.
//!
//! Values never become part of a text of SQL.

use std::collections::{BTreeMap, HashMap};

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::error::{Error, Result};

/// A value as it was written, and the type that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    pub text: String,
    pub data_type: Option<DataType>,
}

/// Parameters by name, without the `$`.
pub type Parameters = BTreeMap<String, Parameter>;

/// The words for types that a parameter can be given.
pub const TYPES: [(&str, DataType); 7] = [
    ("text", DataType::Utf8),
    ("int", DataType::Int64),
    ("float", DataType::Float64),
    ("decimal", DataType::Decimal128(38, 10)),
    ("date", DataType::Date32),
    ("timestamp", DataType::Timestamp(TimeUnit::Microsecond, None)),
    ("bool", DataType::Boolean),
];

/// Reads `name=value` or `name:type=value`.
///
/// # Errors
/// `Config` with what to write instead.
pub fn read_parameter(text: &str) -> Result<(String, Parameter)> {
    let wrong = || {
        Error::config(format!("`{text}` is no parameter"))
            .with_hint("write `name=value`, or `name:type=value` such as `since:date=2025-01-31`")
    };
    let (name, value) = text.split_once('=').ok_or_else(wrong)?;
    let (name, data_type) = match name.split_once(':') {
        Some((name, word)) => (name.trim(), Some(type_of(word.trim())?)),
        None => (name.trim(), None),
    };
    let is_name = !name.is_empty() && name.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
    if !is_name {
        return Err(wrong());
    }
    let parameter = Parameter { text: value.to_owned(), data_type };
    if let Some(data_type) = &parameter.data_type {
        as_given(name, &parameter.text, data_type)?;
    }
    Ok((name.to_owned(), parameter))
}

fn type_of(word: &str) -> Result<DataType> {
    let known = TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
    known.map(|(_, data_type)| data_type.clone()).ok_or_else(|| {
        let names = TYPES.map(|(name, _)| name).join(", ");
        Error::config(format!("there is no type `{word}` for a parameter")).with_hint(format!("it is one of {names}"))
    })
}

/// The plan with the values in the place of the parameters.
///
/// # Errors
/// `Config` where one is missing, or is not of the type that it is used as.
pub fn with_parameters(plan: LogicalPlan, parameters: &Parameters) -> Result<LogicalPlan> {
    // Such a statement has parameters of its own, to be given when it is executed.
    if matches!(plan, LogicalPlan::Statement(_)) {
        return Ok(plan);
    }
    let wanted = uses(&plan).map_err(|error| Error::config(error.strip_backtrace()))?;
    if wanted.is_empty() {
        return Ok(plan);
    }
    let mut values = HashMap::new();
    for (name, used_as) in wanted {
        let plain = name.trim_start_matches('$');
        let Some(parameter) = parameters.get(plain) else {
            return Err(without_value(plain));
        };
        // Where it is used as several things, it is what it seems to be, and compared as such.
        let only = if used_as.len() == 1 { used_as.into_iter().next() } else { None };
        let value = match (&parameter.data_type, only) {
            (Some(given), _) => as_given(plain, &parameter.text, given)?,
            (None, Some(used)) => as_used(plain, &parameter.text, &used)?,
            (None, None) => guessed(&parameter.text),
        };
        values.insert(plain.to_owned(), ScalarAndMetadata::from(value));
    }
    plan.with_param_values(ParamValues::Map(values)).map_err(|error| Error::config(error.strip_backtrace()))
}

/// Every parameter of a plan, with the types that it is used as, as far as those are known.
fn uses(plan: &LogicalPlan) -> datafusion::common::Result<BTreeMap<String, Vec<DataType>>> {
    let mut found: BTreeMap<String, Vec<DataType>> = BTreeMap::new();
    plan.apply_with_subqueries(|step| {
        step.apply_expressions(|expression| {
            expression.apply(|part| {
                if let Expr::Placeholder(placeholder) = part {
                    let types = found.entry(placeholder.id.clone()).or_default();
                    let used_as = placeholder.field.as_ref().map(|field| field.data_type().clone());
                    if let Some(used_as) = used_as.filter(|used_as| !used_as.is_null() && !types.contains(used_as)) {
                        types.push(used_as);
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

/// What to do where a statement names a parameter that nobody gave a value.
pub(super) fn without_value(name: &str) -> Error {
    Error::config(format!("`${name}` has no value"))
        .with_hint(format!("give it one with `--param {name}=...`, or with `\\set {name} ...` in a session"))
}

fn scalar(name: &str, text: &str, data_type: &DataType) -> Result<ScalarValue> {
    read_as(text, data_type).ok_or_else(|| {
        let word = TYPES.iter().find(|(_, known)| known == data_type).map(|(word, _)| (*word).to_owned());
        let word = word.unwrap_or_else(|| data_type.to_string().to_lowercase());
        Error::config(format!("the parameter `{name}` is `{text}`, which is no {word}"))
    })
}

fn read_as(text: &str, data_type: &DataType) -> Option<ScalarValue> {
    ScalarValue::from(text).cast_to(data_type).ok().filter(|cast| !cast.is_null())
}

/// A value of the type that was asked for. A decimal has the digits that it was written with.
fn as_given(name: &str, text: &str, data_type: &DataType) -> Result<ScalarValue> {
    match data_type {
        DataType::Decimal128(..) => as_used(name, text, data_type),
        _ => scalar(name, text, data_type),
    }
}

/// A value for a place of a type. What would lose something there keeps a type of its own, and is compared as that: a time
/// beside dates, digits behind those that a decimal has, a fraction beside whole numbers.
fn as_used(name: &str, text: &str, data_type: &DataType) -> Result<ScalarValue> {
    let plain = text.trim();
    let own = match data_type {
        DataType::Date32 | DataType::Date64 if plain.len() > DAY.len() => read_as(plain, &TIMESTAMP),
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => {
            let digits = plain.split_once('.').map_or(0, |(_, behind)| behind.len());
            let digits = i8::try_from(digits).ok().filter(|digits| digits > scale && *digits < 38);
            digits.and_then(|digits| read_as(plain, &DataType::Decimal128(38, digits)))
        }
        whole if whole.is_integer() && plain.contains(['.', 'e', 'E']) => read_as(plain, &DataType::Float64),
        _ => None,
    };
    match own {
        Some(own) => Ok(own),
        None => scalar(name, text, data_type),
    }
}

const DAY: &str = "2025-01-31";
const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// What a value seems to be, where nothing around it says.
fn guessed(text: &str) -> ScalarValue {
    let is_code = text.len() > 1 && text.starts_with('0') && !text.starts_with("0.");
    let is_number = text.starts_with(|letter: char| letter.is_ascii_digit() || letter == '-');
    let is_time = text.len() > DAY.len() && text.get(4..5) == Some("-");
    let types: &[DataType] = match () {
        () if is_code || !is_number => &[],
        () if is_time => &[TIMESTAMP],
        () if text.len() == DAY.len() && text.get(4..5) == Some("-") => &[DataType::Date32],
        // Beyond sixty-four bits a double would be another number.
        () => &[DataType::Int64, DataType::Decimal128(38, 0), DataType::Float64],
    };
    let fits = |data_type: &&DataType| match data_type {
        DataType::Decimal128(..) => !text.contains(['.', 'e', 'E']),
        _ => true,
    };
    let guess = types.iter().filter(fits).find_map(|data_type| read_as(text, data_type));
    guess.unwrap_or_else(|| match text {
        "true" | "false" => ScalarValue::from(text == "true"),
        _ => ScalarValue::from(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_with_their_types() {
        let (name, parameter) = read_parameter("since:date=2025-01-31").unwrap();
        assert_eq!((name.as_str(), parameter.data_type), ("since", Some(DataType::Date32)));
        assert_eq!(read_parameter("text=a=b").unwrap().1.text, "a=b");
        for (text, told) in [
            ("since", "name=value"),
            ("=1", "name=value"),
            ("a b=1", "name=value"),
            ("x:dat=1", "text, int, float"),
            ("x:date=2025-02-30", "no date"),
            ("x:int=1.5", "no int"),
        ] {
            assert!(read_parameter(text).unwrap_err().to_string().contains(told), "{text}");
        }
    }

    /// Once, 10.004 became 10.00 beside a column with two digits, and rows came that are less.
    #[test]
    fn a_value_loses_nothing_where_it_is_used() {
        let used = |text: &str, data_type: DataType| as_used("x", text, &data_type).unwrap();
        assert_eq!(used("10.004", DataType::Decimal128(10, 2)).to_string(), "10.004");
        assert_eq!(used("10.5", DataType::Decimal128(10, 2)).data_type(), DataType::Decimal128(10, 2));
        assert_eq!(used("1.5", DataType::Int64), ScalarValue::from(1.5));
        assert_eq!(used("2025-01-31 12:00:00", DataType::Date32).data_type(), TIMESTAMP);
        assert_eq!(used("007", DataType::Utf8View).data_type(), DataType::Utf8View);
    }

    #[test]
    fn a_code_with_leading_zeros_is_no_number() {
        assert_eq!(guessed("007"), ScalarValue::from("007"));
        assert_eq!(guessed("7"), ScalarValue::from(7_i64));
        assert_eq!(guessed("-0.5"), ScalarValue::from(-0.5));
        assert_eq!(guessed("2025-01-31").data_type(), DataType::Date32);
        // Once, the time of the day was lost.
        assert_eq!(guessed("2025-01-31 23:59:59").to_string(), "1738367999000000");
        assert_eq!(guessed("123456789012345678901").to_string(), "123456789012345678901");
        assert_eq!(guessed("nan"), ScalarValue::from("nan"));
        assert_eq!(guessed("true"), ScalarValue::from(true));
    }
}
