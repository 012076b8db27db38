//! The files that a run reads, pinned before it reads them, and what the results of a KPI rest on beside its definition.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::{DateTime, Utc};

use crate::catalog::{self, InputFile, SourceError};
use crate::model::{Kpi, Model, Origin, TableTests};
use crate::store;
use crate::survey::tables_of;

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
    pub fn changed_since(&self, model: &Model) -> BTreeSet<String> {
        let has_changed = |name: &String| match model.tables.get(name).map(|table| &table.origin) {
            Some(Origin::Files { source, .. }) => {
                let now = match catalog::list(&model.project.data, source) {
                    // A table may be taken for empty while it has no files.
                    Err(SourceError::Absent(_)) => Some(Vec::new()),
                    now => now.ok(),
                };
                now.as_ref() != Some(&self.files[name])
            }
            Some(Origin::Query { .. }) | None => false,
        };
        self.files.keys().filter(|name| has_changed(name)).cloned().collect()
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

    pub fn records(&self, model: &Model) -> Vec<store::Input> {
        let shown = |path: &Path| path.strip_prefix(&model.project.data).unwrap_or(path).display().to_string();
        let records = self.files.iter().flat_map(|(table, files)| files.iter().map(move |file| (table, file)));
        records
            .map(|(table, file)| store::Input {
                table: table.clone(),
                path: shown(&file.path),
                bytes: file.bytes,
                modified: file.modified.map(|time| DateTime::<Utc>::from(time).to_rfc3339()),
                etag: None,
                version: None,
                rows: None,
            })
            .collect()
    }
}

fn digest_of(table: &str, files: &[InputFile], tests: Option<&TableTests>) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(format!("{tests:?}\0").as_bytes());
    for file in files {
        let modified = file.modified.map(|time| DateTime::<Utc>::from(time).to_rfc3339()).unwrap_or_default();
        hasher.update(format!("{table}\0{}\0{}\0{modified}\0", file.path.display(), file.bytes).as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}
