//! What `kpi plan` writes down so that `kpi run --plan` does exactly that: what was asked, which version it rests on, and
//! the definition and the files behind each KPI that would be computed. A plan that no longer holds is refused.
//!
//! Which periods are computed follows from these, so they are not compared.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::inputs::Inputs;
use super::{Engine, RunOptions};
use crate::days::{DayRanges, text};
use crate::error::{Error, Result};
use crate::model::{Kpi, Model};
use crate::store::LogRecord;
use crate::survey::AsOf;

/// The version of the JSON. A plan of another one is refused.
const FORMAT_VERSION: u32 = 1;

/// A run that was planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    format_version: u32,
    /// The words of the selection; none means all.
    pub select: Vec<String>,
    pub force: bool,
    /// Days whose periods are computed in any case.
    pub days: DayRanges,
    /// The day from which it looks; the day on which it runs makes no difference.
    #[serde(with = "text")]
    pub as_of: AsOf,
    /// Settings of the project that have another value in this run.
    pub settings: BTreeMap<String, String>,
    /// Where the results lie.
    output: String,
    /// The newest version when it was planned.
    pub version: Option<u64>,
    /// The commit that made it: another folder may have a version of the same number.
    commit_id: Option<String>,
    /// The KPIs that it computes.
    pub changed: Vec<PlannedKpi>,
    /// The KPIs that it takes away.
    pub removed: Vec<String>,
}

/// A KPI of a planned run, and what its values rest on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedKpi {
    pub kpi: String,
    fingerprint: String,
    input_digest: String,
}

impl PlannedKpi {
    pub(super) fn of(kpi: &Kpi, model: &Model, inputs: &Inputs) -> PlannedKpi {
        let (fingerprint, input_digest) = (kpi.fingerprint.clone(), inputs.digest(model, kpi));
        PlannedKpi { kpi: kpi.name.clone(), fingerprint, input_digest }
    }
}

impl Planned {
    /// A plan that computes nothing yet.
    pub(super) fn new(engine: &Engine, options: &RunOptions, head: Option<&LogRecord>) -> Planned {
        Planned {
            format_version: FORMAT_VERSION,
            select: options.select.clone(),
            force: options.force,
            days: options.days.clone(),
            as_of: engine.as_of,
            settings: engine.settings.clone(),
            output: engine.model().project.output.to_string(),
            version: head.map(|head| head.version),
            commit_id: head.map(|head| head.commit_id.clone()),
            changed: Vec::new(),
            removed: Vec::new(),
        }
    }

    /// Reads the plan in what `kpi plan --json` prints. `name` is for messages.
    ///
    /// # Errors
    /// `Config` where there is none.
    pub fn from_json(json: &[u8], name: &str) -> Result<Planned> {
        #[derive(Deserialize)]
        struct Printed {
            plan: Planned,
        }
        let is_no_plan = || Error::config(format!("`{name}` is no plan")).with_hint("write one by `kpi plan --json`");
        let Printed { plan } = serde_json::from_slice(json).map_err(|error| is_no_plan().with_source(error))?;
        if plan.format_version != FORMAT_VERSION {
            let message = format!("`{name}` was written by another version of kpi");
            return Err(Error::config(message).with_hint("run `kpi plan --json` again"));
        }
        Ok(plan)
    }

    /// Refuses to run where it would compute other KPIs, or from other definitions or files.
    pub(super) fn still_holds(
        &self,
        model: &Model,
        parent: Option<&LogRecord>,
        inputs: &Inputs,
        changed: &BTreeSet<String>,
        removed: &[String],
    ) -> Result<()> {
        let output = model.project.output.to_string();
        if output != self.output {
            return Err(outdated(format!("the plan is for results in `{}`, and they lie in `{output}`", self.output)));
        }
        let version = parent.map(|parent| parent.version);
        if parent.map(|parent| &parent.commit_id) != self.commit_id.as_ref() {
            let shown =
                |version: Option<u64>| version.map_or("nothing".to_owned(), |version| format!("version {version}"));
            let (then, now) = (shown(self.version), shown(version));
            return Err(outdated(format!("{then} was published when the plan was made, and now {now} is")));
        }
        let planned: BTreeMap<&str, &PlannedKpi> =
            self.changed.iter().map(|planned| (planned.kpi.as_str(), planned)).collect();
        for name in changed {
            let Some(then) = planned.get(name.as_str()) else {
                return Err(outdated(format!("`{name}` has changed since the plan was made")));
            };
            let now = PlannedKpi::of(&model.kpis[name], model, inputs);
            if then.fingerprint != now.fingerprint {
                return Err(outdated(format!("the definition of `{name}` has changed since the plan was made")));
            }
            if then.input_digest != now.input_digest {
                return Err(outdated(format!("files or tests of `{name}` have changed since the plan was made")));
            }
        }
        if self.removed != removed {
            return Err(outdated("other KPIs are no longer defined than when the plan was made".into()));
        }
        match planned.keys().find(|name| !changed.contains(**name)) {
            Some(name) => Err(outdated(format!("a run would not compute `{name}` any more, which the plan does"))),
            None => Ok(()),
        }
    }
}

fn outdated(message: String) -> Error {
    Error::config(message).with_hint("nothing ran; run `kpi plan --json` again")
}
