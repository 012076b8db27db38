//! Which KPIs words of a command line name, and what to say of words that name none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Engine;
use crate::diagnostic::nearest;
use crate::error::{Error, Result};
use crate::model::Kpi;
use crate::validate::Unusable;

/// What a selection names, apart by whether data files let it be computed.
pub(super) struct Selected {
    pub kpis: BTreeSet<String>,
    /// The others, and why not.
    pub unusable: BTreeMap<String, String>,
}

impl Engine {
    /// The KPIs that a selection names and whose data can be used, and the others.
    ///
    /// # Errors
    /// As [`Engine::select`]; `Config` or `Storage` where no data can be used.
    pub(super) fn select_usable(&self, words: &[String]) -> Result<Selected> {
        let all = &self.validated.unusable;
        if all.is_empty() {
            return Ok(Selected { kpis: self.select(words)?, unusable: BTreeMap::new() });
        }
        let of_word = |word: &str| -> BTreeSet<String> {
            let is_meant = |name: &str, unusable: &Unusable| match word.split_once(':') {
                Some(("tag", tag)) => unusable.tags.contains(tag),
                Some(("objective", objective)) => unusable.objectives.contains(objective),
                _ => name == word,
            };
            all.iter().filter(|(name, unusable)| is_meant(name, unusable)).map(|(name, _)| name.clone()).collect()
        };
        let mut selected = BTreeSet::new();
        if words.is_empty() {
            selected.extend(self.model().defined().map(|kpi| kpi.name.clone()).chain(all.keys().cloned()));
        }
        for word in words {
            let unusable = of_word(word);
            match self.select(std::slice::from_ref(word)) {
                Ok(named) => selected.extend(named),
                // What the model does not know may be what cannot be used.
                Err(error) if unusable.is_empty() => return Err(error),
                Err(_) => {}
            }
            selected.extend(unusable);
        }
        let (unusable, kpis): (BTreeSet<String>, BTreeSet<String>) =
            selected.into_iter().partition(|name| all.contains_key(name));
        if kpis.is_empty() {
            return Err(self.no_usable_data());
        }
        let unusable = unusable.into_iter().map(|name| (name.clone(), all[&name].reason.clone())).collect();
        Ok(Selected { kpis, unusable })
    }

    /// Why nothing runs, where no definition has a mistake.
    pub(super) fn no_usable_data(&self) -> Error {
        match self.unreachable() {
            Some(_) => Error::storage("what tables read cannot be reached, so nothing ran"),
            None => Error::config("data files cannot be used, so nothing ran"),
        }
    }

    /// The KPIs that a selection names: by name, by `tag:` or by `objective:`, with which go those that it is made of. Nothing
    /// selects all that can run.
    ///
    /// # Errors
    /// `Config` where a word names nothing, or a KPI that cannot run.
    pub fn select(&self, words: &[String]) -> Result<BTreeSet<String>> {
        let model = self.model();
        if words.is_empty() {
            if model.defined().next().is_none() {
                if let Some(error) = self.unreachable() {
                    return Err(error);
                }
                let mut error = Error::config("there is no KPI that can run");
                if let Some(skipped) = model.skipped.first() {
                    error = error.with_context("skipped", format!("`{}`: {}", skipped.kpi, skipped.reason));
                }
                return Err(error);
            }
            return Ok(model.defined().map(|kpi| kpi.name.clone()).collect());
        }
        let mut selected = BTreeSet::new();
        for word in words {
            selected.extend(match word.split_once(':') {
                Some(("tag", tag)) => {
                    self.having(|kpi| kpi.tags.iter().any(|known| known == tag)).ok_or_else(|| self.unknown_tag(tag))?
                }
                Some(("objective", name)) => self
                    .having(|kpi| model.objectives_of(kpi).contains(&name))
                    .ok_or_else(|| self.unknown_objective(name))?,
                _ => BTreeSet::from([self.find(word)?.name.clone()]),
            });
        }
        Ok(selected)
    }

    /// The KPIs that have something, if any has.
    pub(super) fn having(&self, has: impl Fn(&Kpi) -> bool) -> Option<BTreeSet<String>> {
        let found: BTreeSet<String> =
            self.model().defined().filter(|kpi| has(kpi)).map(|kpi| kpi.name.clone()).collect();
        (!found.is_empty()).then_some(found)
    }

    pub(super) fn unknown_objective(&self, name: &str) -> Error {
        let model = self.model();
        let served: BTreeSet<&str> = model.defined().flat_map(|kpi| model.objectives_of(kpi)).collect();
        let message = match model.objectives.contains_key(name) {
            true => format!("no KPI that can run serves the objective `{name}`"),
            false => format!("there is no objective `{name}`"),
        };
        let error = Error::config(message);
        match nearest(name, served.iter().copied()) {
            Some(near) => error.with_hint(format!("did you mean `objective:{near}`?")),
            None if served.is_empty() => error.with_hint("no KPI names an objective; `kpi ls` lists them by name"),
            None => error.with_hint(format!("the objectives are {}", Vec::from_iter(served).join(", "))),
        }
    }

    pub(super) fn unknown_tag(&self, tag: &str) -> Error {
        let tags = self.model().defined().flat_map(|kpi| kpi.tags.iter().map(String::as_str));
        let tags: Vec<&str> = tags.collect::<BTreeSet<&str>>().into_iter().collect();
        let hint = match tags.as_slice() {
            [] => "no KPI has tags; `kpi ls` lists them by name".to_owned(),
            tags => format!("the tags are {}", tags.join(", ")),
        };
        Error::config(format!("no KPI has the tag `{tag}`")).with_hint(hint)
    }

    pub(super) fn find(&self, name: &str) -> Result<&Arc<Kpi>> {
        let model = self.model();
        if let Some(kpi) = model.kpis.get(name).filter(|kpi| kpi.variant_of.is_none()) {
            return Ok(kpi);
        }
        if let Some(skipped) = model.skipped.iter().find(|skipped| skipped.kpi == name) {
            return Err(Error::config(format!("`{name}` cannot run: {}", skipped.reason)));
        }
        if self.is_written(name) {
            if let Some(error) = self.unreachable() {
                return Err(error);
            }
            return Err(Error::config(format!("the definition of `{name}`, or of what it needs, has mistakes"))
                .with_hint("run `kpi check` to see them"));
        }
        let error = Error::config(format!("there is no KPI `{name}`"));
        Err(match nearest(name, model.defined().map(|kpi| kpi.name.as_str())) {
            Some(near) => error.with_hint(format!("did you mean `{near}`?")),
            None => error.with_hint("`kpi ls` lists them"),
        })
    }
}
