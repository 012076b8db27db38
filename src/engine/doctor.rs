//! Which KPIs the data at hand supports, which it almost supports, and what is missing for the others.
//!
//! It looks at tables and not at values: a number may still be withheld by a test.

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use super::explain::explain;
use crate::error::{Error, Result};
use crate::machine::free_space;
use crate::model::{Model, Need, Reads};
use crate::profile::{TableProfile, profile};
use crate::session::{self, Limits};
use crate::store::Probe;

/// What an examination of the data found.
#[derive(Debug)]
pub struct Examination {
    /// By name.
    pub tables: BTreeMap<String, TableState>,
    /// By name; hidden KPIs are not among them.
    pub kpis: BTreeMap<String, KpiState>,
    /// What would make further KPIs work; what helps most comes first.
    pub missing: Vec<Missing>,
    pub output: OutputState,
    pub limits: Limits,
    /// Bytes that can still be written where queries spill to, if that is known.
    pub temporary_free: Option<u64>,
    /// Bytes that can still be written where the results lie, if that is known.
    pub output_free: Option<u64>,
}

/// The place of the results, as it was found.
#[derive(Debug)]
pub enum OutputState {
    /// A folder that the first run makes.
    NotThere,
    /// A run could publish there.
    Ready(Probe),
    /// A run would fail.
    Broken(Error),
}

/// A table as it was found.
#[derive(Debug)]
pub enum TableState {
    /// It has rows, or could have some.
    There {
        profile: TableProfile,
        /// Columns, as the files should name them, that its definition knows and the files lack.
        lacks: BTreeSet<String>,
    },
    /// It cannot be read.
    Unreadable { error: Error },
    /// It has no files, or stands on a table or column that is lacking.
    Absent { reason: String },
}

/// What becomes of a KPI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KpiState {
    /// It has all that it reads.
    Supported {
        /// Breakdowns that are left out for want of columns.
        left_out: Vec<Vec<String>>,
    },
    /// It runs, and something that it reads is empty: a table has no rows, or a column no value. That may be as it should.
    Doubtful { tables: BTreeSet<String>, columns: Reads, left_out: Vec<Vec<String>> },
    /// Tables that it reads are there and cannot be read.
    Unreadable { tables: BTreeSet<String> },
    /// It lacks nothing but columns of tables that are there, or one table of several.
    Almost { needs: BTreeMap<String, Need> },
    /// It lacks more.
    NotSupported { needs: BTreeMap<String, Need>, reason: String },
}

/// Something that is not there, and what would work with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    pub table: String,
    /// Whether the whole table is.
    pub is_absent: bool,
    pub columns: BTreeSet<String>,
    /// KPIs that lack nothing else.
    pub kpis: BTreeSet<String>,
    /// KPIs that lack this and something else.
    pub with_others: BTreeSet<String>,
    /// How many breakdowns of KPIs that work lack it.
    pub breakdowns: usize,
}

impl Engine {
    /// Looks at every table and says what it is good for. A table that cannot be read is in the answer.
    ///
    /// # Errors
    /// `Config` where the project's document has a mistake.
    pub async fn examine(&self) -> Result<Examination> {
        self.refuse_unsound_project()?;
        let model = self.model();
        let mut read = Reads::new();
        for kpi in model.kpis.values() {
            for (table, columns) in &kpi.reads {
                read.entry(table.clone()).or_default().extend(columns.iter().cloned());
            }
        }
        let mut tables = BTreeMap::new();
        for (name, table) in &model.tables {
            let nothing = BTreeSet::new();
            let columns = read.get(name).unwrap_or(&nothing);
            let lacks = model.lacking.get(name).into_iter().flat_map(|lacks| lacks.columns.values().flatten().cloned());
            let state = match profile(&self.context, table, columns, &model.project.calendar).await {
                Ok(profile) => TableState::There { profile, lacks: lacks.collect() },
                Err(error) => {
                    TableState::Unreadable { error: explain(model, &BTreeSet::from([name.clone()]), error).await }
                }
            };
            tables.insert(name.clone(), state);
        }
        for (name, lacks) in model.lacking.iter().filter(|(name, _)| !model.tables.contains_key(*name)) {
            let columns = || Vec::from_iter(lacks.columns.values().flatten().map(String::as_str)).join(", ");
            let reason = lacks.files.clone().unwrap_or_else(|| format!("its files lack {}", columns()));
            tables.insert(name.clone(), TableState::Absent { reason });
        }
        let kpis = kpi_states(model, &tables);
        let limits = session::limits(&self.context);
        let temporary_free = free_space(&limits.temporary);
        let output_free = model.project.output.as_path().and_then(free_space);
        Ok(Examination {
            missing: missing(model, &kpis),
            tables,
            kpis,
            output: self.try_output().await,
            limits,
            temporary_free,
            output_free,
        })
    }
}

impl Engine {
    /// Whether a run could publish. A folder that is not there is not made.
    async fn try_output(&self) -> OutputState {
        if self.model().project.output.as_path().is_some_and(|path| !path.exists()) {
            return OutputState::NotThere;
        }
        let probe = async { self.store()?.probe().await };
        probe.await.map_or_else(OutputState::Broken, OutputState::Ready)
    }
}

fn kpi_states(model: &Model, tables: &BTreeMap<String, TableState>) -> BTreeMap<String, KpiState> {
    let mut states = BTreeMap::new();
    for kpi in model.defined() {
        let mut without_rows = BTreeSet::new();
        let mut without_values = Reads::new();
        let mut unreadable = BTreeSet::new();
        for (name, columns) in &kpi.reads {
            match tables.get(name) {
                Some(TableState::Unreadable { .. }) => drop(unreadable.insert(name.clone())),
                Some(TableState::There { profile, .. }) if profile.rows == 0 => drop(without_rows.insert(name.clone())),
                Some(TableState::There { profile, .. }) => {
                    let empty: BTreeSet<String> = columns.intersection(&profile.empty).cloned().collect();
                    if !empty.is_empty() {
                        without_values.insert(name.clone(), empty);
                    }
                }
                // What can run reads nothing that is absent.
                Some(TableState::Absent { .. }) | None => {}
            }
        }
        let left_out = model.left_out.get(&kpi.name).into_iter().flatten().map(|left| left.dimensions.clone());
        let left_out = left_out.collect();
        let state = if !unreadable.is_empty() {
            KpiState::Unreadable { tables: unreadable }
        } else if without_rows.is_empty() && without_values.is_empty() {
            KpiState::Supported { left_out }
        } else {
            KpiState::Doubtful { tables: without_rows, columns: without_values, left_out }
        };
        states.insert(kpi.name.clone(), state);
    }
    for skipped in &model.skipped {
        let absent = skipped.needs.values().filter(|need| need.is_absent).count();
        let is_almost = !skipped.needs.is_empty() && (absent == 0 || (absent == 1 && skipped.reads.len() > 1));
        let needs = skipped.needs.clone();
        let state = match is_almost {
            true => KpiState::Almost { needs },
            false => KpiState::NotSupported { needs, reason: skipped.reason.clone() },
        };
        states.insert(skipped.kpi.clone(), state);
    }
    states
}

/// What is missing, by table and by whether all of it is.
fn missing(model: &Model, kpis: &BTreeMap<String, KpiState>) -> Vec<Missing> {
    let mut found: BTreeMap<String, Missing> = BTreeMap::new();
    for (kpi, state) in kpis {
        let (KpiState::Almost { needs } | KpiState::NotSupported { needs, .. }) = state else { continue };
        for (table, need) in needs {
            let entry = missing_of(&mut found, table, need);
            let kpis = if needs.len() == 1 { &mut entry.kpis } else { &mut entry.with_others };
            kpis.insert(kpi.clone());
        }
    }
    let seen = model.left_out.iter().filter(|(kpi, _)| kpis.contains_key(*kpi));
    for (table, need) in seen.flat_map(|(_, left_out)| left_out).flat_map(|left_out| &left_out.needs) {
        missing_of(&mut found, table, need).breakdowns += 1;
    }
    let mut missing: Vec<Missing> = found.into_values().collect();
    missing.sort_by_key(|missing| {
        (std::cmp::Reverse((missing.kpis.len(), missing.with_others.len(), missing.breakdowns)), missing.table.clone())
    });
    missing
}

fn missing_of<'a>(found: &'a mut BTreeMap<String, Missing>, table: &str, need: &Need) -> &'a mut Missing {
    let entry = found.entry(table.to_owned()).or_insert_with(|| Missing {
        table: table.to_owned(),
        is_absent: need.is_absent,
        columns: BTreeSet::new(),
        kpis: BTreeSet::new(),
        with_others: BTreeSet::new(),
        breakdowns: 0,
    });
    entry.columns.extend(need.columns.iter().cloned());
    entry
}
