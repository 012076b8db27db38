//! Going back: a version that has again what an earlier one had. Nothing is taken out of the log; the way back is a step
//! forward like every other.

use chrono::Utc;

use super::files::Files;
use super::log::{self, Owner};
use super::record::{FORMAT_VERSION, LogRecord};
use super::unique;
use crate::error::{Error, ErrorKind, Result};

/// How often another commit may come first.
const RACES: u32 = 8;

/// Commits a version with the results of an earlier one.
pub(super) async fn restore(files: &dyn Files, earlier: &LogRecord, run_id: &str, program: &str) -> Result<LogRecord> {
    let commit_id = unique::token();
    for race in 0..RACES {
        if race > 0 {
            unique::pause(race).await;
        }
        let head = log::head(files).await?;
        let version = head.as_ref().map_or(1, |head| head.version + 1);
        let mut kpis = earlier.kpis.clone();
        for (kpi, entry) in &mut kpis {
            // Who commits at the same time has to see what this one changes.
            let now = head.as_ref().and_then(|head| head.kpis.get(kpi));
            entry.committed_in = match now {
                Some(now) if now.files == entry.files => now.committed_in,
                _ => version,
            };
        }
        let gone = head.iter().flat_map(|head| head.kpis.keys()).filter(|kpi| !kpis.contains_key(*kpi));
        let removed = gone.cloned().collect();
        let record = LogRecord {
            format_version: FORMAT_VERSION,
            version,
            commit_id: commit_id.clone(),
            run_id: run_id.to_owned(),
            parent: head.map(|head| head.version),
            created_at: unique::timestamp(Utc::now()),
            program: program.to_owned(),
            as_of: earlier.as_of.clone(),
            kpis,
            removed,
            inputs: earlier.inputs.clone(),
            restores: Some(earlier.version),
        };
        match log::create(files, &record).await? {
            Owner::Mine => return Ok(record),
            Owner::Theirs(_) => {}
        }
    }
    Err(Error::new(ErrorKind::Conflict, format!("{RACES} other commits came first"))
        .with_hint("go back when no run is at work"))
}
