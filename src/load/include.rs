//! A catalogue that a project includes, and the project's own documents that change it.
//!
//! Works on trees, before anything is read into the types of `spec`: the keys of two documents become one document, and
//! each key keeps the place where it was written. Whether the outcome makes sense is for `validate` to say.

use super::bundled;
use super::deserialize::deserialize;
use super::tree::{Entry, Node, NodeValue};
use super::{BrokenDocument, DocumentKind, Written};
use crate::diagnostic::{Diagnostic, nearest};
use crate::spec::IncludeSpec;

/// Mappings by name, whose entries are changed one by one; of every other key the whole value is.
const NAMED: [&str; 7] = ["columns", "composite", "dimensions", "inputs", "joins", "predicates", "settings"];
/// Keys of a table that say how its files are written. They hold for the included files only.
const OF_FILES: [&str; 2] = ["csv", "partitioned_by"];
/// Keys of a column that say the same.
const OF_A_FILES_COLUMN: [&str; 5] = ["expression", "format", "from", "tests", "time_zone"];

/// The catalogue that the project's document includes; a mistake in it is told when the document is read.
pub(super) fn included(documents: &[Written]) -> Option<&'static [(&'static str, &'static str)]> {
    bundled::catalogue(&include_spec(documents)?.catalogue)
}

fn include_spec(documents: &[Written]) -> Option<IncludeSpec> {
    let project = documents.iter().find(|document| document.is(DocumentKind::Project))?;
    deserialize::<IncludeSpec>(&project.entry("include")?.node).ok()
}

/// A name that is no catalogue, and documents that change one where there is none.
pub(super) fn without_catalogue(documents: &[Written], diagnostics: &mut Vec<Diagnostic>) {
    let project = documents.iter().find(|document| document.is(DocumentKind::Project));
    let include = project.and_then(|project| project.entry("include")).map(|entry| &entry.node);
    if let Some(include) = include {
        let Ok(spec) = deserialize::<IncludeSpec>(include) else { return };
        let message = format!("there is no catalogue `{}`", spec.catalogue.value);
        let mistake = Diagnostic::error("unknown-value", message).at(include.span);
        diagnostics.push(match nearest(&spec.catalogue, bundled::NAMES) {
            Some(near) => mistake.hint(format!("did you mean `{near}`?")),
            None => mistake.hint(format!("this version of kpi carries `{}`", bundled::NAMES.join("`, `"))),
        });
        return;
    }
    for entry in documents.iter().filter_map(|document| document.entry("override")) {
        diagnostics.push(
            Diagnostic::error("nothing-to-override", "the project includes no catalogue that could be changed")
                .at(entry.key_span)
                .hint("write `include: crm` into the `project:` document, or leave `override` out"),
        );
    }
}

/// The documents of the catalogue as the project's own change them, and the project's own.
///
/// Documents with a mistake in how they belong together are among the broken ones.
pub(super) fn combine(
    catalogue: Vec<Written>,
    own: Vec<Written>,
    broken: &mut Vec<BrokenDocument>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Written> {
    let takes_targets = include_spec(&own).is_some_and(|include| include.targets);
    let mut catalogue: Vec<Written> = catalogue.into_iter().map(without_given_tests).collect();
    if !takes_targets {
        leave_targets_out(&mut catalogue);
    }
    let mut included: Vec<Option<Written>> = catalogue.into_iter().map(Some).collect();
    let mut combined = Vec::new();
    let mut renamed: Vec<(String, String)> = Vec::new();
    for mut document in own {
        if document.is(DocumentKind::Project) {
            let settings = included.iter().flatten().find(|one| one.is(DocumentKind::Project));
            inherit_settings(&mut document.root, settings.map(|project| &project.root));
            combined.push(document);
            continue;
        }
        let Some((kind, name)) = document.name() else {
            combined.push(document);
            continue;
        };
        let place = included.iter_mut().find(|one| one.as_ref().and_then(Written::name) == Some((kind, name.clone())));
        let way = document.entry("override").map(|entry| (entry.key_span, entry.node.scalar().unwrap_or("")));
        match (way, place) {
            (None, None) => combined.push(document),
            (None, Some(_)) => {
                diagnostics.push(is_there_already(&document, &name));
            }
            (Some((span, _)), None) => {
                let names: Vec<String> = (included.iter().flatten().filter_map(Written::name))
                    .filter_map(|(other, name)| (other == kind).then_some(name))
                    .collect();
                let message = format!("the included catalogue has no {} `{name}`", kind.in_words());
                let mistake = Diagnostic::error("nothing-to-override", message).at(span);
                diagnostics.push(match nearest(&name, names.iter().map(String::as_str)) {
                    Some(near) => mistake.hint(format!("did you mean `{near}`?")),
                    None => mistake.hint("leave `override` out to define something of your own"),
                });
                broken.push(BrokenDocument { kind, name });
            }
            (Some((_, "merge")), Some(place)) => {
                let Some(before) = place.take() else { continue };
                if let Some(new_name) = take_new_name(&mut document.root) {
                    renamed.push((name, new_name));
                }
                combined.push(merged(before, document));
            }
            // A word that is none of the two is told when the document is read.
            (Some(_), Some(place)) => {
                *place = None;
                combined.push(document);
            }
        }
    }
    let rest = included.into_iter().flatten().filter(|document| !document.is(DocumentKind::Project));
    combined.extend(rest);
    for (before, after) in &renamed {
        for document in combined.iter_mut().filter(|document| document.stems_from_catalogue) {
            rename(&mut document.root, before, after);
        }
    }
    combined
}

fn is_there_already(document: &Written, name: &str) -> Diagnostic {
    let kind = document.name().map_or("document", |(kind, _)| kind.in_words());
    let span = document.root.entries().first().map_or(document.root.span, |entry| entry.node.span);
    Diagnostic::error("duplicate-name", format!("the included catalogue has a {kind} `{name}`")).at(span).hint(
        "write `override: merge` to change it, `override: replace` to put this in its place, or take another name",
    )
}

/// Rows that a test gives are written like the catalogue's own files. What results must be like holds for all.
fn without_given_tests(mut document: Written) -> Written {
    for entry in document.root.entries_mut().filter(|entry| entry.key == "tests") {
        if let NodeValue::Sequence(tests) = &mut entry.node.value {
            tests.retain(|test| test.node.entries().iter().all(|key| key.key != "given"));
        }
    }
    document
}

/// What another company wants to reach says nothing about this one, nor do the tables that hold it.
fn leave_targets_out(catalogue: &mut Vec<Written>) {
    let mut tables = Vec::new();
    for document in catalogue.iter_mut().filter(|document| document.is(DocumentKind::Kpi)) {
        let NodeValue::Mapping(entries) = &mut document.root.value else { continue };
        let Some(position) = entries.iter().position(|entry| entry.key == "target") else { continue };
        let target = entries.remove(position);
        let table = target.node.entries().iter().find(|key| key.key == "table");
        tables.extend(table.and_then(|table| table.node.scalar()).map(str::to_owned));
    }
    let holds_targets = |document: &Written| {
        document.name().is_some_and(|(kind, name)| kind == DocumentKind::Table && tables.contains(&name))
    };
    catalogue.retain(|document| !holds_targets(document));
}

/// Settings that the project does not have are those of the catalogue.
fn inherit_settings(project: &mut Node, catalogue: Option<&Node>) {
    let key = |name: &str| catalogue?.entries().iter().find(|entry| entry.key == name);
    let Some(mut theirs) = key("settings").cloned() else { return };
    let own: Vec<&str> = key("own_settings").map(|own| own.node.words()).unwrap_or_default();
    for setting in theirs.node.entries_mut().filter(|setting| own.contains(&setting.key.as_str())) {
        setting.node.value = NodeValue::Null;
    }
    let NodeValue::Mapping(entries) = &mut project.value else { return };
    match entries.iter_mut().find(|entry| entry.key == "settings") {
        Some(Entry { node: Node { value: NodeValue::Mapping(ours), .. }, .. }) => {
            let missing = theirs.node.entries().iter().filter(|entry| ours.iter().all(|own| own.key != entry.key));
            let missing: Vec<Entry> = missing.cloned().collect();
            ours.extend(missing);
        }
        // What is no mapping is told when the document is read.
        Some(_) => {}
        None => entries.push(theirs),
    }
}

/// The included document with the keys of the project's.
fn merged(before: Written, change: Written) -> Written {
    let Written { root: mut node, folder_tag, query, .. } = before;
    let has_own_rows = change.query.is_some() || change.entry("source").is_some();
    if let NodeValue::Mapping(entries) = &mut node.value {
        if has_own_rows {
            entries.retain(|entry| !OF_FILES.contains(&entry.key.as_str()) && entry.key != "source");
            for entry in entries.iter_mut().filter(|entry| entry.key == "columns") {
                forget_how_columns_are_written(&mut entry.node);
            }
        }
        let changes = match change.root.value {
            NodeValue::Mapping(changes) => changes,
            _ => Vec::new(),
        };
        for entry in changes {
            merge_entry(entries, entry, true);
        }
    }
    node.span = change.root.span;
    let query = match has_own_rows {
        true => change.query,
        false => query,
    };
    Written { file: change.file, folder_tag, root: node, query, stems_from_catalogue: true, is_changed: true }
}

fn merge_entry(entries: &mut Vec<Entry>, change: Entry, is_top: bool) {
    let Some(position) = entries.iter().position(|entry| entry.key == change.key) else {
        if !matches!(change.node.value, NodeValue::Null) {
            entries.push(change);
        }
        return;
    };
    if matches!(change.node.value, NodeValue::Null) {
        entries.remove(position);
        return;
    }
    let is_by_name = is_top && NAMED.contains(&change.key.as_str());
    let is_column = !is_top;
    let entry = &mut entries[position];
    let both = (&mut entry.node.value, change.node.value);
    match both {
        (NodeValue::Mapping(before), NodeValue::Mapping(after)) if is_by_name => {
            // A column keeps what is known of it; everything else that has a name is written anew.
            for inner in after {
                match change.key == "columns" {
                    true => merge_entry(before, inner, false),
                    false => replace_entry(before, inner),
                }
            }
        }
        (NodeValue::Mapping(before), NodeValue::Mapping(after)) if is_column => {
            for inner in after {
                replace_entry(before, inner);
            }
        }
        (value, after) => {
            *value = after;
            entry.key_span = change.key_span;
            entry.node.span = change.node.span;
        }
    }
}

fn replace_entry(entries: &mut Vec<Entry>, change: Entry) {
    let position = entries.iter().position(|entry| entry.key == change.key);
    let is_taken_away = matches!(change.node.value, NodeValue::Null);
    match position {
        Some(position) if is_taken_away => drop(entries.remove(position)),
        Some(position) => entries[position] = change,
        None if is_taken_away => {}
        None => entries.push(change),
    }
}

/// What a column means stays; how the catalogue's own files write it does not hold for others.
fn forget_how_columns_are_written(columns: &mut Node) {
    let NodeValue::Mapping(columns) = &mut columns.value else { return };
    for column in columns.iter_mut() {
        if let NodeValue::Mapping(keys) = &mut column.node.value {
            keys.retain(|key| !OF_A_FILES_COLUMN.contains(&key.key.as_str()));
        }
    }
    // A column that was computed from others and says nothing else is not known of these files.
    columns.retain(|column| !column.node.entries().is_empty());
}

/// Takes `rename` out and writes the new name where the old one stands. The other documents are not changed yet.
fn take_new_name(root: &mut Node) -> Option<String> {
    let NodeValue::Mapping(entries) = &mut root.value else { return None };
    let position = entries.iter().position(|entry| entry.key == "rename")?;
    let new_name = entries[position].node.scalar()?.to_owned();
    let place = entries[position].node.span;
    entries.remove(position);
    let first = entries.first_mut()?;
    first.node.set_scalar(new_name.clone());
    first.node.span = place;
    Some(new_name)
}

/// Writes another name where a definition of the catalogue refers to a KPI.
fn rename(root: &mut Node, before: &str, after: &str) {
    let is_arithmetic = root.entries().iter().all(|entry| entry.key != "from");
    let NodeValue::Mapping(entries) = &mut root.value else { return };
    for entry in entries {
        match entry.key.as_str() {
            "value" if is_arithmetic => {
                let text = entry.node.scalar().map(|text| with_other_name(text, before, after));
                text.into_iter().for_each(|text| entry.node.set_scalar(text));
            }
            "guardrails" => entry.node.elements_mut().for_each(|node| node.rename_scalar(before, after)),
            "composite" => {
                entry.node.entries_mut().filter(|part| part.key == before).for_each(|part| part.key = after.to_owned());
            }
            "inputs" => {
                let inputs = entry.node.entries_mut().flat_map(|input| input.node.entries_mut());
                inputs.filter(|key| key.key == "kpi").for_each(|key| key.node.rename_scalar(before, after));
            }
            "target" => {
                let keys = entry.node.entries_mut().filter(|key| key.key == "kpi");
                keys.for_each(|key| key.node.rename_scalar(before, after));
            }
            _ => {}
        }
    }
}

/// An expression in which a name is another one; words in quotes and parts of longer words stay.
fn with_other_name(text: &str, before: &str, after: &str) -> String {
    let mut written = String::with_capacity(text.len());
    let mut word = String::new();
    let mut quote = None;
    let finish = |word: &mut String, written: &mut String| {
        written.push_str(if word == before { after } else { word });
        word.clear();
    };
    for letter in text.chars() {
        if quote.is_none() && (letter.is_alphanumeric() || letter == '_') {
            word.push(letter);
            continue;
        }
        finish(&mut word, &mut written);
        match quote {
            Some(open) if open == letter => quote = None,
            None if letter == '\'' => quote = Some(letter),
            _ => {}
        }
        written.push(letter);
    }
    finish(&mut word, &mut written);
    written
}
