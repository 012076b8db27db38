//! Settings of the project, overridden for one command.
//!
//! The value keeps its type, so that what an expression means cannot change by a slip of the pen. Nothing is written.

use std::collections::BTreeMap;

use super::LoadedProject;
use crate::diagnostic::nearest;
use crate::error::{Error, Result};
use crate::spec::{Document, ProjectSpec, SettingValue};

/// Gives settings other values, by name. A project with mistakes may lack what it would have, so there no name is unknown.
///
/// # Errors
/// `Config` where a setting does not exist, or is of another type.
pub fn override_settings(loaded: &mut LoadedProject, values: &BTreeMap<String, String>) -> Result<()> {
    let project = loaded.documents.iter_mut().find_map(|document| match &mut document.document {
        Document::Project(project) => Some((project, document.taken_out.is_empty())),
        Document::Objective(_) | Document::Table(_) | Document::Kpi(_) => None,
    });
    let Some((project, is_whole)) = project else { return Ok(()) };
    for (name, text) in values {
        let known = project.settings.0.iter_mut().find(|(known, _)| known.value == *name).map(|(_, value)| value);
        match known {
            Some(value) => value.value = same_type(name, &value.value, text)?,
            None if is_whole => return Err(unknown(name, project)),
            None => {}
        }
    }
    Ok(())
}

fn same_type(name: &str, before: &SettingValue, text: &str) -> Result<SettingValue> {
    let number = || text.parse::<f64>().ok().filter(|number| number.is_finite()).map(SettingValue::Number);
    let (value, what) = match before {
        SettingValue::Boolean(_) => (text.parse().ok().map(SettingValue::Boolean), "`true` or `false`"),
        SettingValue::Integer(_) => (text.parse().ok().map(SettingValue::Integer).or_else(number), "a number"),
        SettingValue::Number(_) => (number(), "a number"),
        SettingValue::Text(_) => (Some(SettingValue::Text(text.to_owned())), "a text"),
        // Nobody said what it is, so it is what it looks like.
        SettingValue::Nothing => {
            let integer = text.parse().ok().map(SettingValue::Integer);
            (integer.or_else(number).or_else(|| Some(SettingValue::Text(text.to_owned()))), "a value")
        }
    };
    value.ok_or_else(|| {
        let said = match before {
            SettingValue::Boolean(value) => value.to_string(),
            SettingValue::Integer(value) => value.to_string(),
            SettingValue::Number(value) => value.to_string(),
            SettingValue::Text(value) => value.clone(),
            SettingValue::Nothing => "null".to_owned(),
        };
        Error::config(format!("the setting `{name}` is {what}, not `{text}`"))
            .with_hint(format!("the project says `{name}: {said}`; write another value of that kind"))
    })
}

fn unknown(name: &str, project: &ProjectSpec) -> Error {
    let error = Error::config(format!("the project has no setting `{name}`"));
    let names: Vec<&str> = project.settings.names().collect();
    match nearest(name, names.iter().copied()) {
        Some(near) => error.with_hint(format!("did you mean `{near}`?")),
        None if names.is_empty() => {
            error.with_hint(format!("declare it in the project first: `settings: {{{name}: ...}}`"))
        }
        None => error.with_hint(format!("its settings are `{}`", names.join("`, `"))),
    }
}
