//! A catalogue that a project includes, and the project's own documents that change it.
//!
//! Works on trees, before anything is read into the types of `spec`: the keys of two documents become one document, and
//! each key keeps the place where it was written. Whether the outcome makes sense is for `validate` to say.

use std::collections::{BTreeMap, BTreeSet};

use super::bundled::{self, Catalogue};
use super::tree::{Entry, Node, NodeValue, ScalarKind};
use super::{BrokenDocument, DocumentKind, Written};
use crate::diagnostic::{Diagnostic, Span, nearest};

/// Mappings by name, whose entries are changed one by one; of every other key the whole value is.
const NAMED: [&str; 6] = ["columns", "composite", "dimensions", "inputs", "joins", "predicates"];
/// Keys of a table that say how its files are written. They hold for the included files only.
const OF_FILES: [&str; 2] = ["csv", "partitioned_by"];
/// Keys of a column that say the same.
const OF_A_FILES_COLUMN: [&str; 4] = ["expression", "format", "from", "time_zone"];

/// The catalogue that the project's document includes; a mistake in it is told when the document is read.
pub(super) fn included(documents: &[Written]) -> Option<Catalogue> {
    bundled::catalogue(catalogue_name(include_of(documents)?)?.scalar()?)
}

fn include_of(documents: &[Written]) -> Option<&Node> {
    let project = documents.iter().find(|document| document.is(DocumentKind::Project))?;
    Some(&project.entry("include")?.node)
}

/// Where the name of the catalogue stands. A mistake beside it does not keep the catalogue out.
fn catalogue_name(include: &Node) -> Option<&Node> {
    match &include.value {
        NodeValue::Mapping(_) => include.key("catalogue"),
        NodeValue::Null | NodeValue::Refused | NodeValue::Scalar { .. } | NodeValue::Sequence(_) => Some(include),
    }
}

/// A name that is no catalogue, and documents that change one where there is none.
pub(super) fn without_catalogue(documents: &[Written], diagnostics: &mut Vec<Diagnostic>) {
    if let Some(include) = include_of(documents) {
        let Some((name, node)) = catalogue_name(include).and_then(|node| Some((node.scalar()?, node))) else { return };
        let mistake = Diagnostic::error("unknown-value", format!("there is no catalogue `{name}`")).at(node.span);
        diagnostics.push(match nearest(name, bundled::NAMES) {
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

/// What a document is and how it is called.
type Identity = (DocumentKind, String);

/// The documents of the catalogue as the project's own change them, and the project's own.
///
/// Documents with a mistake in how they belong together are among the broken ones.
pub(super) fn combine(
    catalogue: Vec<Written>,
    own: Vec<Written>,
    broken: &mut Vec<BrokenDocument>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Written> {
    let mut catalogue: Vec<Written> = catalogue.into_iter().map(without_given_tests).collect();
    let targets = include_of(&own).and_then(|include| include.key("targets")?.scalar());
    if targets != Some("true") {
        leave_targets_out(&mut catalogue, &own);
    }
    let known: BTreeSet<Identity> = catalogue.iter().filter_map(Written::name).collect();
    let renamed = new_names(&own, &known);
    // Before the project's keys are put on top: its own words mean its own names.
    catalogue.iter_mut().for_each(|document| rename(&mut document.root, &renamed));

    let mut included: Vec<Option<Written>> = catalogue.into_iter().map(Some).collect();
    let mut changed: BTreeMap<Identity, Span> = BTreeMap::new();
    let mut combined = Vec::new();
    for mut document in own {
        if document.is(DocumentKind::Project) {
            let settings = included.iter().flatten().find(|one| one.is(DocumentKind::Project));
            inherit_settings(&mut document.root, settings.map(|project| &project.root), diagnostics);
            combined.push(document);
            continue;
        }
        let Some(identity) = document.name() else {
            combined.push(document);
            continue;
        };
        let place = included.iter_mut().find(|one| one.as_ref().and_then(Written::name).as_ref() == Some(&identity));
        match change(&document, &identity, &known, &renamed, &changed) {
            Ok(Change::Nothing) => combined.push(document),
            Ok(Change::Replace) => {
                place.into_iter().for_each(|place| *place = None);
                changed.insert(identity, name_span(&document));
                combined.push(document);
            }
            Ok(Change::Merge) => {
                changed.insert(identity, name_span(&document));
                take_new_name(&mut document.root);
                combined.extend(place.and_then(Option::take).map(|before| merged(before, document)));
            }
            Err(mistake) => {
                diagnostics.push(*mistake);
                // What was meant cannot be told, so neither of them is there.
                place.into_iter().for_each(|place| *place = None);
                let (kind, name) = identity;
                broken.push(BrokenDocument { kind, name });
            }
        }
    }
    combined.extend(included.into_iter().flatten().filter(|document| !document.is(DocumentKind::Project)));
    combined
}

/// What a document of the project does to the catalogue.
enum Change {
    Nothing,
    Merge,
    Replace,
}

fn change(
    document: &Written,
    identity: &Identity,
    known: &BTreeSet<Identity>,
    renamed: &BTreeMap<String, String>,
    changed: &BTreeMap<Identity, Span>,
) -> std::result::Result<Change, Box<Diagnostic>> {
    let (kind, name) = identity;
    let Some(way) = document.entry("override") else {
        let is_free = *kind == DocumentKind::Kpi && renamed.contains_key(name);
        if is_free || !known.contains(identity) {
            return Ok(Change::Nothing);
        }
        let message = format!("the included catalogue has a {} `{name}`", kind.in_words());
        let hint =
            "write `override: merge` to change it, `override: replace` to put this in its place, or take another name";
        return Err(Box::new(Diagnostic::error("duplicate-name", message).at(name_span(document)).hint(hint)));
    };
    if let Some(first) = changed.get(identity) {
        let message = format!("the {} `{name}` of the included catalogue is changed twice", kind.in_words());
        let mistake = Diagnostic::error("duplicate-name", message).at(name_span(document));
        return Err(Box::new(mistake.label(*first, "changed here").hint("put both changes into one document")));
    }
    if !known.contains(identity) {
        let message = format!("the included catalogue has no {} `{name}`", kind.in_words());
        let mistake = Diagnostic::error("nothing-to-override", message).at(way.key_span);
        let names = known.iter().filter(|(other, _)| other == kind).map(|(_, name)| name.as_str());
        return Err(Box::new(match nearest(name, names) {
            Some(near) => mistake.hint(format!("did you mean `{near}`?")),
            None => mistake.hint("leave `override` out to define something of your own"),
        }));
    }
    // A word that is none of the two is told when the document is read.
    Ok(match way.node.scalar() {
        Some("merge") => Change::Merge,
        _ => Change::Replace,
    })
}

fn name_span(document: &Written) -> Span {
    document.root.entries().first().map_or(document.root.span, |entry| entry.node.span)
}

/// The KPIs of the catalogue that the project calls otherwise, with their new names.
fn new_names(own: &[Written], known: &BTreeSet<Identity>) -> BTreeMap<String, String> {
    let is_merged =
        |document: &&Written| document.entry("override").and_then(|entry| entry.node.scalar()) == Some("merge");
    let new_name = |document: &Written| {
        let identity = document.name().filter(|identity| known.contains(identity))?;
        let is_kpi = identity.0 == DocumentKind::Kpi;
        let new_name = document.entry("rename")?.node.scalar()?.to_owned();
        is_kpi.then_some((identity.1, new_name))
    };
    own.iter().filter(is_merged).filter_map(new_name).collect()
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

/// What another company wants to reach says nothing about this one, nor do the tables that hold it, unless the project
/// fills them with its own.
fn leave_targets_out(catalogue: &mut Vec<Written>, own: &[Written]) {
    let mut tables = Vec::new();
    for document in catalogue.iter_mut().filter(|document| document.is(DocumentKind::Kpi)) {
        let NodeValue::Mapping(entries) = &mut document.root.value else { continue };
        let Some(position) = entries.iter().position(|entry| entry.key == "target") else { continue };
        let target = entries.remove(position);
        let table = target.node.entries().iter().find(|key| key.key == "table");
        tables.extend(table.and_then(|table| table.node.scalar()).map(str::to_owned));
    }
    let holds_targets = |document: &Written| {
        let is_changed = || own.iter().any(|change| change.name() == document.name());
        document.name().is_some_and(|(kind, name)| kind == DocumentKind::Table && tables.contains(&name))
            && !is_changed()
    };
    catalogue.retain(|document| !holds_targets(document));
}

/// Settings that the project does not have are those of the catalogue.
fn inherit_settings(project: &mut Node, catalogue: Option<&Node>, diagnostics: &mut Vec<Diagnostic>) {
    let key = |name: &str| catalogue?.entries().iter().find(|entry| entry.key == name);
    let Some(mut theirs) = key("settings").cloned() else { return };
    let own: Vec<&str> = key("own_settings").map(|own| own.node.words()).unwrap_or_default();
    for setting in theirs.node.entries_mut().filter(|setting| own.contains(&setting.key.as_str())) {
        setting.node.value = NodeValue::Null;
    }
    let NodeValue::Mapping(entries) = &mut project.value else { return };
    match entries.iter_mut().find(|entry| entry.key == "settings") {
        Some(Entry { node: Node { value: NodeValue::Mapping(ours), .. }, .. }) => {
            diagnostics.extend(ours.iter().filter_map(|own| doubtful_setting(own, theirs.node.entries())));
            let missing = theirs.node.entries().iter().filter(|entry| ours.iter().all(|own| own.key != entry.key));
            let missing: Vec<Entry> = missing.cloned().collect();
            ours.extend(missing);
        }
        // What is no mapping is told when the document is read.
        Some(_) => {}
        None => entries.push(theirs),
    }
}

/// A setting of another kind than the catalogue's, or one that was meant to be one of them and is called otherwise.
fn doubtful_setting(own: &Entry, catalogue: &[Entry]) -> Option<Diagnostic> {
    let Some(theirs) = catalogue.iter().find(|theirs| theirs.key == own.key) else {
        let near = nearest(&own.key, catalogue.iter().map(|theirs| theirs.key.as_str()))?;
        let message = format!("the included catalogue has no setting `{}`", own.key);
        let hint = format!("did you mean `{near}`? One of your own is better called otherwise");
        return Some(Diagnostic::warning("unknown-setting", message).at(own.key_span).hint(hint));
    };
    let is_alike = match (&theirs.node.value, &own.node.value) {
        (NodeValue::Scalar { kind: theirs, .. }, NodeValue::Scalar { kind: own, .. }) => match theirs {
            ScalarKind::Text => matches!(own, ScalarKind::Text),
            ScalarKind::Boolean(_) => matches!(own, ScalarKind::Boolean(_)),
            ScalarKind::Integer(_) => matches!(own, ScalarKind::Integer(_)),
            ScalarKind::Float(_) => matches!(own, ScalarKind::Integer(_) | ScalarKind::Float(_)),
        },
        // What is no value is told when the document is read, and one that the catalogue leaves open may be anything.
        _ => true,
    };
    let message = format!("the setting `{}` is {}", own.key, own.node.describe());
    let hint = format!("the catalogue has {} there; write a value of that kind", theirs.node.describe());
    (!is_alike).then(|| Diagnostic::error("wrong-type", message).at(own.node.span).hint(hint))
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
        changes.into_iter().for_each(|change| merge_key(entries, change));
    }
    node.span = change.root.span;
    let query = match has_own_rows {
        true => change.query,
        false => query,
    };
    Written { file: change.file, folder_tag, root: node, query, stems_from_catalogue: true, is_changed: true }
}

/// Puts a key of a change among those of a document.
fn merge_key(keys: &mut Vec<Entry>, change: Entry) {
    let before = keys.iter_mut().find(|entry| entry.key == change.key && NAMED.contains(&entry.key.as_str()));
    match (before.map(|entry| &mut entry.node.value), change.node.value) {
        (Some(NodeValue::Mapping(before)), NodeValue::Mapping(after)) => {
            // A column keeps what is known of it; everything else that has a name is written anew.
            let merge = if change.key == "columns" { merge_column } else { replace_entry };
            after.into_iter().for_each(|inner| merge(before, inner));
        }
        (_, value) => replace_entry(keys, Entry { node: Node { value, ..change.node }, ..change }),
    }
}

fn merge_column(columns: &mut Vec<Entry>, change: Entry) {
    let before = columns.iter_mut().find(|column| column.key == change.key);
    match (before.map(|column| &mut column.node.value), change.node.value) {
        (Some(NodeValue::Mapping(before)), NodeValue::Mapping(after)) => {
            after.into_iter().for_each(|key| replace_entry(before, key));
        }
        (_, value) => replace_entry(columns, Entry { node: Node { value, ..change.node }, ..change }),
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
    columns.retain(|column| column.node.entries().iter().any(|key| key.key != "tests"));
}

/// Takes `rename` out and writes the new name where the old one stands.
fn take_new_name(root: &mut Node) {
    let NodeValue::Mapping(entries) = &mut root.value else { return };
    let Some(position) = entries.iter().position(|entry| entry.key == "rename") else { return };
    // What is no name is told when the document is read.
    let Some(new_name) = entries[position].node.scalar().map(str::to_owned) else { return };
    let place = entries.remove(position).node.span;
    if let Some(first) = entries.first_mut() {
        first.node.set_scalar(new_name);
        first.node.span = place;
    }
}

/// Writes the new names where a definition of the catalogue refers to KPIs.
fn rename(root: &mut Node, renamed: &BTreeMap<String, String>) {
    let is_arithmetic = root.key("from").is_none();
    let own_names: Vec<String> =
        root.key("inputs").into_iter().flat_map(Node::entries).map(|input| input.key.clone()).collect();
    let rename_one = |node: &mut Node| {
        if let Some(new_name) = node.scalar().and_then(|name| renamed.get(name)) {
            node.set_scalar(new_name.clone());
        }
    };
    for entry in root.entries_mut() {
        let node = &mut entry.node;
        match entry.key.as_str() {
            "value" if is_arithmetic => {
                let new_name = |word: &str| renamed.get(word).filter(|_| !own_names.iter().any(|own| own == word));
                if let Some(text) = node.scalar().map(|text| with_other_names(text, new_name)) {
                    node.set_scalar(text);
                }
            }
            "guardrails" => node.elements_mut().for_each(rename_one),
            "composite" => {
                for part in node.entries_mut() {
                    part.key = renamed.get(&part.key).unwrap_or(&part.key).clone();
                }
            }
            "inputs" => {
                let keys = node.entries_mut().flat_map(|input| input.node.entries_mut());
                keys.filter(|key| key.key == "kpi").for_each(|key| rename_one(&mut key.node));
            }
            "target" => {
                let keys = node.entries_mut().filter(|key| key.key == "kpi");
                keys.for_each(|key| rename_one(&mut key.node));
            }
            _ => {}
        }
    }
}

/// An expression in which names are other ones; words in quotes and parts of longer words stay.
fn with_other_names<'n>(text: &str, new_name: impl Fn(&str) -> Option<&'n String>) -> String {
    let mut written = String::with_capacity(text.len());
    let mut word = String::new();
    let mut is_quoted = false;
    for letter in text.chars() {
        if !is_quoted && (letter.is_alphanumeric() || letter == '_') {
            word.push(letter);
            continue;
        }
        written.push_str(new_name(&word).unwrap_or(&word));
        word.clear();
        if letter == '\'' {
            is_quoted = !is_quoted;
        }
        written.push(letter);
    }
    written.push_str(new_name(&word).unwrap_or(&word));
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key that is called otherwise in the language would be merged in another way, in silence.
    #[test]
    fn the_keys_named_here_are_keys_of_the_language() {
        let schema = crate::spec::schema::json_schema().to_string();
        for key in NAMED.iter().chain(&OF_FILES).chain(&OF_A_FILES_COLUMN) {
            assert!(schema.contains(&format!("\"{key}\":{{")), "{key}");
        }
    }
}
