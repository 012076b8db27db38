//! The JSON Schema of a definition document, for editors that complete and check while people write.
//!
//! It is made from the types of this module and their doc comments, so it cannot drift from what `load` reads. It knows
//! keys and types; names and expressions are checked by `kpi check` alone.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::{KpiSpec, ObjectiveSpec, ProjectSpec, TableSpec};

/// The schema (draft 7, as the YAML language server wants it) of one document of a definition file.
pub fn json_schema() -> Value {
    let mut generator = SchemaSettings::draft07().into_generator();
    let documents = [
        generator.subschema_for::<ProjectSpec>(),
        generator.subschema_for::<ObjectiveSpec>(),
        generator.subschema_for::<TableSpec>(),
        generator.subschema_for::<KpiSpec>(),
    ];
    let mut definitions = Value::Object(generator.take_definitions(true));
    without_null(&mut definitions);
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A definition of kpi",
        "description": "One document of a file below kpis/. Its first key says what it is: project, objective, table or kpi.",
        "type": "object",
        "oneOf": documents,
        "definitions": definitions,
    })
}

/// A key may be left out, but not be left empty: takes away the null that optional fields bring along.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    object.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(values)) = object.get_mut("enum") {
                values.retain(|value| !value.is_null());
            }
            if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
                choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
                // A reference with a description beside it has to be wrapped: draft 7 ignores what stands beside `$ref`.
                if let [Value::Object(only)] = choices.as_slice()
                    && !only.contains_key("$ref")
                {
                    let only = only.clone();
                    object.remove("anyOf");
                    object.extend(only);
                }
            }
            object.values_mut().for_each(without_null);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_requires_the_key_that_names_it() {
        let schema = json_schema();
        let documents =
            [("ProjectSpec", "project"), ("ObjectiveSpec", "objective"), ("TableSpec", "table"), ("KpiSpec", "kpi")];
        for (document, key) in documents {
            let definition = &schema["definitions"][document];
            assert_eq!(definition["required"], json!([key]), "{document}");
            assert_eq!(definition["additionalProperties"], json!(false), "{document}");
            assert!(
                schema["oneOf"].as_array().unwrap().contains(&json!({"$ref": format!("#/definitions/{document}")}))
            );
        }
    }

    #[test]
    fn every_key_is_described_and_nothing_is_null() {
        let schema = json_schema();
        for (document, definition) in schema["definitions"].as_object().unwrap() {
            for (key, property) in definition["properties"].as_object().into_iter().flatten() {
                assert!(property["description"].is_string(), "{document}.{key} has no description");
            }
        }
        let text = schema.to_string();
        assert!(!text.contains("\"null\"") && !text.contains(":null"), "{schema:#}");
    }

    #[test]
    fn references_lead_somewhere() {
        let schema = json_schema();
        let text = schema.to_string();
        for reference in text.split("\"$ref\":\"").skip(1) {
            let pointer = reference.split('"').next().unwrap().trim_start_matches('#');
            assert!(schema.pointer(pointer).is_some(), "{pointer}");
        }
    }
}
