//! The files that a run reads, pinned before it reads them, and what the results of a KPI rest on beside its definition.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use datafusion::prelude::SessionContext;

use crate::catalog::{self, InputFile, SourceError};
use crate::location::Location;
use crate::model::{Kpi, Model, Origin, TableTests};
use crate::store::{self, LogRecord};
use crate::survey::{FileDays, tables_of};

/// The files of each table as they were when the run began.
pub(super) struct Inputs {
    files: BTreeMap<String, Vec<InputFile>>,
    /// A digest of them and of the tests of the data, by table; also of tables from queries.
    digests: BTreeMap<String, String>,
}

impl Inputs {
    pub fn pin(model: &Model) -> Inputs {
        let files = model.tables.iter().filter_map(|(name, table)| match &table.origin {
            Origin::Files { opened, .. } => Some((name.clone(), opened.files.clone())),
            Origin::Query { .. } => None,
        });
        let files: BTreeMap<String, Vec<InputFile>> = files.collect();
        let digest = |table: &String| {
            let tests = model.tests.tables.get(table);
            digest_of(table, files.get(table).map_or(&[], Vec::as_slice), tests)
        };
        let digests = model.tables.keys().map(|table| (table.clone(), digest(table))).collect();
        Inputs { files, digests }
    }

    /// How many files there are.
    pub fn count(&self) -> u64 {
        self.files.values().map(|files| files.len() as u64).sum()
    }

    /// The tables whose files are not what they were.
    pub async fn changed_since(&self, context: &SessionContext, model: &Model) -> BTreeSet<String> {
        let mut changed = BTreeSet::new();
        for (name, files) in &self.files {
            let Some(Origin::Files { source, .. }) = model.tables.get(name).map(|table| &table.origin) else {
                continue;
            };
            // What it names was a place when it was opened.
            let Ok(location) = model.project.locate(source) else { continue };
            let now = match catalog::list(context, &location, source).await {
                // A table may be taken for empty while it has no files.
                Err(SourceError::Absent(_)) => Some(Vec::new()),
                now => now.ok(),
            };
            if now.as_ref() != Some(files) {
                changed.insert(name.clone());
            }
        }
        changed
    }

    /// A digest of all that a result rests on beside the definition of its KPI: the files behind it, and the tests that it
    /// has to pass.
    pub fn digest(&self, model: &Model, kpi: &Kpi) -> String {
        let mut hasher = blake3::Hasher::new();
        for table in tables_of(model, kpi) {
            if let Some(digest) = self.digests.get(&table) {
                hasher.update(digest.as_bytes());
            }
        }
        if let Some(assertions) = model.tests.assertions.get(&kpi.name) {
            hasher.update(format!("{assertions:?}").as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// The files for the record, each with what it is known to cover.
    pub fn records(&self, model: &Model, known: &FileDays) -> Vec<store::Input> {
        let shown = |location: &Location| location.below(&model.project.data).unwrap_or_else(|| location.to_string());
        let covers = |file: &InputFile| {
            let covers = known
                .of_file(file)
                .filter_map(|(key, covered)| Some((key.to_owned(), serde_json::to_value(covered).ok()?)));
            covers.collect()
        };
        let records = self.files.iter().flat_map(|(table, files)| files.iter().map(move |file| (table, file)));
        records
            .map(|(table, file)| store::Input {
                table: table.clone(),
                path: shown(&file.location),
                bytes: file.bytes,
                modified: file.modified.map(|time| DateTime::<Utc>::from(time).to_rfc3339()),
                etag: file.etag.clone(),
                version: None,
                rows: None,
                covers: covers(file),
            })
            .collect()
    }

    /// What the files of a version covered.
    pub fn known_days(model: &Model, record: &LogRecord) -> FileDays {
        let mut known = FileDays::default();
        for input in &record.inputs {
            let file = file_of(model, input);
            for (key, covered) in &input.covers {
                // What another program has noted is nothing that is known.
                if let Ok(covered) = serde_json::from_value(covered.clone()) {
                    known.insert(key, file.clone(), covered);
                }
            }
        }
        known
    }

    /// The tables whose files are not those of a version.
    pub fn changed_since_record(&self, model: &Model, record: &LogRecord) -> BTreeSet<String> {
        let tables =
            self.files.keys().map(String::as_str).chain(record.inputs.iter().map(|input| input.table.as_str()));
        let tables: BTreeSet<&str> = tables.collect();
        let has_changed = |table: &&str| {
            let (came, went) = self.difference(model, record, table).unwrap_or_default();
            !came.is_empty() || !went.is_empty()
        };
        tables.into_iter().filter(has_changed).map(str::to_owned).collect()
    }

    /// The files of a table that a version did not have, and those that it had; `None` where the table has no files.
    pub fn difference(
        &self,
        model: &Model,
        record: &LogRecord,
        table: &str,
    ) -> Option<(Vec<InputFile>, Vec<InputFile>)> {
        let now = self.files.get(table)?;
        let then = record.inputs.iter().filter(|input| input.table == table).map(|input| file_of(model, input));
        let then: Vec<InputFile> = then.collect();
        let without = |these: &[InputFile], those: &[InputFile]| -> Vec<InputFile> {
            let those: BTreeSet<&InputFile> = those.iter().collect();
            these.iter().filter(|file| !those.contains(file)).cloned().collect()
        };
        Some((without(now, &then), without(&then, now)))
    }
}

/// A file of a record.
fn file_of(model: &Model, input: &store::Input) -> InputFile {
    let modified = input.modified.as_deref().and_then(|time| DateTime::parse_from_rfc3339(time).ok());
    // A name that a record has noted was one when it was noted.
    let location = model.project.locate(&input.path).unwrap_or_else(|_| model.project.data.join(&input.path));
    let (bytes, etag) = (input.bytes, input.etag.clone());
    InputFile { location, bytes, modified: modified.map(Into::into), etag }
}

fn digest_of(table: &str, files: &[InputFile], tests: Option<&TableTests>) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(format!("{tests:?}\0").as_bytes());
    for file in files {
        let modified = file.modified.map(|time| DateTime::<Utc>::from(time).to_rfc3339()).unwrap_or_default();
        hasher.update(format!("{table}\0{}\0{}\0{modified}\0", file.location, file.bytes).as_bytes());
        hasher.update(file.etag.as_deref().unwrap_or_default().as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}
