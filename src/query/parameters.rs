//! Values for the `$name` of statements. A value has the type that it is used as, unless it was given one.
//!
//! Values never become part of a text of SQL.

use std::collections::{BTreeMap, HashMap};

use datafusion::arrow::datatypes::{DataType, FieldRef, TimeUnit};
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::logical_expr::LogicalPlan;

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
        scalar(name, &parameter.text, data_type)?;
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
    let wanted = plan.get_parameter_fields().map_err(|error| Error::config(error.strip_backtrace()))?;
    if wanted.is_empty() {
        return Ok(plan);
    }
    let mut values = HashMap::new();
    for (name, field) in wanted.into_iter().collect::<BTreeMap<String, Option<FieldRef>>>() {
        let plain = name.trim_start_matches('$');
        let Some(parameter) = parameters.get(plain) else {
            return Err(Error::config(format!("`{name}` has no value")).with_hint(format!(
                "give it one with `--param {plain}=...`, or with `\\set {plain} ...` in a session"
            )));
        };
        let data_type = parameter.data_type.clone().or_else(|| field.map(|field| field.data_type().clone()));
        let value = match data_type.filter(|data_type| !data_type.is_null()) {
            Some(data_type) => scalar(plain, &parameter.text, &data_type)?,
            None => guessed(&parameter.text),
        };
        values.insert(plain.to_owned(), ScalarAndMetadata::from(value));
    }
    plan.with_param_values(ParamValues::Map(values)).map_err(|error| Error::config(error.strip_backtrace()))
}

fn scalar(name: &str, text: &str, data_type: &DataType) -> Result<ScalarValue> {
    // A text stays what it is; of everything else an empty text would be no value.
    let value = ScalarValue::from(text);
    let cast = value.cast_to(data_type).ok().filter(|cast| !cast.is_null());
    cast.ok_or_else(|| {
        let word = TYPES.iter().find(|(_, known)| known == data_type).map(|(word, _)| (*word).to_owned());
        let word = word.unwrap_or_else(|| data_type.to_string().to_lowercase());
        Error::config(format!("the parameter `{name}` is `{text}`, which is no {word}"))
    })
}

/// What a value seems to be, where nothing around it says.
fn guessed(text: &str) -> ScalarValue {
    let is_code = text.len() > 1 && text.starts_with('0') && !text.starts_with("0.");
    let types = [DataType::Int64, DataType::Float64, DataType::Date32];
    let is_number = text.starts_with(|letter: char| letter.is_ascii_digit() || letter == '-');
    let guess = types
        .into_iter()
        .filter(|_| !is_code && is_number)
        .find_map(|data_type| ScalarValue::from(text).cast_to(&data_type).ok().filter(|value| !value.is_null()));
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

    #[test]
    fn a_code_with_leading_zeros_is_no_number() {
        assert_eq!(guessed("007"), ScalarValue::from("007"));
        assert_eq!(guessed("7"), ScalarValue::from(7_i64));
        assert_eq!(guessed("-0.5"), ScalarValue::from(-0.5));
        assert_eq!(guessed("2025-01-31").data_type(), DataType::Date32);
        assert_eq!(guessed("nan"), ScalarValue::from("nan"));
        assert_eq!(guessed("true"), ScalarValue::from(true));
    }
}
